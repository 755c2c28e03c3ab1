"""How large a network knows eyes and vessels to be: as large as in the images it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from vesselforge.configs.errors import CheckpointError
from vesselforge.data.fov import fov_width
from vesselforge.data.imageset import load_fov, load_mask, read_index
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.structure import tree_figures

SLACK = 0.1
"""Images whose field of view is wider or narrower than all of the training by no more than this
share are shown as they are: resampling would blur them more than the size matters."""
ENDS = (0.1, 0.9)
"""Quantiles of the training images' widths between which all is known: one wrong field of view
among them must not make everything known."""
MASKS = 32
"""Training images whose vessels are measured; of more, as many evenly spaced ones."""
Pixels = Annotated[float, Field(gt=0)]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Magnification:
    """Of the images that a network was trained on, in pixels as it was shown them. fov_width: the
    median width of their fields of view; narrowest, widest: the ENDS of these widths. vessel_width:
    the median over images of the mean width of their vessels, see `TreeFigures.calibre`."""

    fov_width: Pixels
    narrowest: Pixels
    widest: Pixels
    vessel_width: Pixels

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    def knows(self, width: float) -> bool:
        """Whether images with a field of view of that width are shown as they are."""
        return self.narrowest * (1 - SLACK) <= width <= self.widest * (1 + SLACK)


def said(known: Magnification | None) -> dict[str, Any]:
    """Its entry in files, `magnification`; none where nothing is known."""
    return {} if known is None else {"magnification": asdict(known)}


def magnification_of(folder: Path, scales: Sequence[float] = (1.0,)) -> Magnification | None:
    """Of the training images of a prepared set, each shown at all of these scales."""
    records = [record for record in read_index(folder, TRAIN) if record.mask is not None]
    fovs = (fov for record in records if (fov := load_fov(folder, record)) is not None)
    masks = (load_mask(folder, record) for record in records[:: -(-len(records) // MASKS) or 1])
    return measured(len(records), fovs, masks, scales)


def measured(
    images: int, fovs: Iterable[Mask], masks: Iterable[Mask], scales: Sequence[float] = (1.0,)
) -> Magnification | None:
    """Of so many images, the fields of view of those that have one, and vessel masks of some. None
    where fewer than half of them have a border to be measured by, or none has a vessel."""
    widths = [width for fov in fovs if (width := fov_width(fov)) is not None]
    vessels = [tree_figures(mask).calibre for mask in masks if mask.any()]
    if 2 * len(widths) < max(1, images) or not vessels:
        return None
    low, high = np.quantile(widths, ENDS)
    usual = float(np.median(scales))
    figures = np.median(widths) * usual, low * min(scales), high * max(scales)
    return Magnification(*(round(float(f), 2) for f in (*figures, np.median(vessels) * usual)))


def shared(by_member: Mapping[str, Magnification | None]) -> Magnification | None:
    """That of the members of an ensemble, which are all shown the same image. Raises
    CheckpointError where one does not know what another was trained at."""
    known = {name: each for name, each in by_member.items() if each is not None}
    first = next(iter(known.values()), None)
    if first is not None and not all(first.knows(each.fov_width) for each in known.values()):
        listed = ", ".join(f"{name} {each.fov_width:g} px" for name, each in known.items())
        raise CheckpointError(
            f"ensemble: found members trained at several widths of the field of view ({listed}), "
            "expected one: they are all shown the same image; train them at one magnification"
        )
    return first
