"""What the memorisation figures rest on, to look at: closest.csv, closest.png and pairs/.

The pictures show training images: they stay in the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import write_png
from vesselforge.engine.files import write_csv
from vesselforge.generator.metrics.extractors import three_channels
from vesselforge.generator.metrics.memorisation import Matches, turned_back
from vesselforge.generator.metrics.reals import Reals

PICTURE, TABLE, PAIRS = "closest.png", "closest.csv", "pairs"
HEAD = ("rank", "sample", "distance", "suspicious", "image", "y", "x", "turned")
SHOWN = 16
"""Samples in the pictures, the nearest."""
SIDE, COLUMNS, GAP = 160, 4, 4
"""Greatest side of an image in the picture, pairs in a row, pixels of white around a pair."""


def write_closest(
    out: Path,
    found: Matches,
    names: Sequence[str],
    reals: Reals,
    threshold: float | None,
    sample: Callable[[int], Tensor],
) -> None:
    """Write the table of all samples, nearest first, a picture of the first SHOWN, and each of
    these by itself as `pairs/<rank>.png`, sample left and training view right.

    names: of the samples. threshold: distance below which a sample is suspicious, if known.
    sample: its number → its pixels, `[C, H, W]` uint8. The column `turned` numbers the version (see
    `turns`) in which the two are alike.
    """
    rows: list[tuple[object, ...]] = [HEAD]
    shown = []
    for rank, i in enumerate(np.argsort(found.distances, kind="stable").tolist(), 1):
        distance, turned = float(found.distances[i]), int(found.turned[i])
        place = reals.places[int(found.views[i])]
        suspicious = "" if threshold is None else int(distance < threshold)
        image = (reals.training.ids[place.image], place.y, place.x, place.turned or turned)
        rows.append((rank, names[i], f"{distance:.6g}", suspicious, *image))
        if rank <= SHOWN:
            shown.append(_beside(sample(i), turned_back(reals.view(place), turned)))
            write_png(out / PAIRS / f"{rank}.png", shown[-1])
    write_csv(out / TABLE, rows)
    sheet = grid_of(np.stack(shown).transpose(0, 3, 1, 2), min(COLUMNS, len(shown)))
    write_png(out / PICTURE, sheet)


def _beside(sample: Tensor, view: Tensor) -> NDArray[np.uint8]:
    """Return sample and training view side by side, `[H, W, 3]`, with white around them."""
    framed = []
    for image in map(three_channels, (sample, view)):
        picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        framed.append(np.asarray(picture))
    pair = np.concatenate(framed, axis=1)
    return np.pad(pair, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)
