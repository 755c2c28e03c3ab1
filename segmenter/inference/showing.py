"""At which size a network is shown an image: as large as the images it was trained on.

The width of the field of view tells how large an image is. Where no border shows it, the vessels
tell (`vessel_scale`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.stages.segmenter import FovWidth
from vesselforge.data.fov import fov_width
from vesselforge.data.imageset import LoadedImage
from vesselforge.segmenter.inference.vessel_scale import vessel_scale
from vesselforge.segmenter.models import Model

MOST = 8.0
"""Largest enlargement: beyond it, there is no vessel to find."""
UNKNOWN = (
    "this model does not say at which magnification it was trained: images are shown to it as they "
    "are; if they are larger or smaller than those of its training, give --fov-width"
)
Found = Literal["border", "vessels", "given", "native"]


@dataclass(frozen=True)
class Showing:
    """scale: the network sees the image that many times as large. found: by what; native: as it is,
    by wish or because nothing is known of the model. fov_width: of the image's field of view as
    the network sees it, in pixels; None where it is not known. sure: in [0, 1], None of native."""

    scale: float = 1.0
    found: Found = "native"
    fov_width: float | None = None
    sure: float | None = None

    def row(self) -> dict[str, Any]:
        """For a summary."""
        width = None if self.fov_width is None else round(self.fov_width)
        row = {"scale": round(self.scale, 6), "fov_width": width, "found_by": self.found}
        return row | {"sure": None if self.sure is None else round(self.sure, 2)}


def showing(
    model: Model, image: NDArray[np.uint8], fov: NDArray[np.bool_], wanted: FovWidth = "model"
) -> Showing:
    """At which scale a model is shown an image [H, W, 3] with a field of view [H, W].

    wanted: `model`: at the width that it was trained at; as it is, where that is not known or about
    the image's own (`Magnification.knows`). `native`: as it is. A number: that wide; a picture
    without a border is all field of view then. Raises DataError for a number that would enlarge
    the image more than MOST times, ConfigError for what is none of these.
    """
    if not (wanted in ("model", "native") or (isinstance(wanted, int) and 32 <= wanted <= 8192)):
        raise ConfigError(
            f"fov_width: found {wanted!r}, expected model, native or 32 to 8192 pixels"
        )
    own, known = fov_width(fov), model.magnification
    if isinstance(wanted, int):
        width = image.shape[1] if own is None else own
        if wanted > MOST * width:
            raise DataError(
                f"found a field of view of {width:g} pixels, expected at least {wanted / MOST:.0f} "
                f"to enlarge it to {wanted}"
            )
        return Showing(wanted / width, "given", wanted, 1.0)
    if wanted == "native" or known is None:
        return Showing(fov_width=own)
    if own is None:
        scale, sure = vessel_scale(model, image)
        return Showing(scale, "vessels", None, sure)
    scale = 1.0 if known.knows(own) else min(MOST, known.fov_width / own)
    return Showing(scale, "border", own * scale, 1.0)


def resized(image: LoadedImage, scale: float, soft: bool = False) -> LoadedImage:
    """An image with its maps, that many times as large. soft: as a training needs it, with labels
    in parts of a pixel, and weights."""
    if scale == 1:
        return image
    height, width = image.fov.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))

    def map_(pixels: NDArray[np.uint8] | None, how: Image.Resampling) -> NDArray[np.uint8] | None:
        return None if pixels is None else np.asarray(Image.fromarray(pixels).resize(size, how))

    def mask(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(Image.fromarray(pixels.astype(np.uint8) * 255).resize(size)) > 127

    found = replace(
        image,
        image=np.asarray(Image.fromarray(image.image).resize(size, Image.Resampling.LANCZOS)),
        fov=mask(image.fov),
        observers={name: mask(drawn) for name, drawn in image.observers.items()},
        weight=map_(image.weight, Image.Resampling.NEAREST) if soft else None,
    )
    if soft:
        smooth = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        return replace(found, target=map_(image.target, smooth))
    hard = None if image.target is None else mask(image.reference).astype(np.uint8) * 255
    return replace(found, target=hard)
