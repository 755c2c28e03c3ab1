"""Images at the magnification that a network knows, and their maps back at the image's own size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.combine import MEAN, combine
from vesselforge.segmenter.inference.tiles import Watch
from vesselforge.segmenter.models import Model

MOST = 8.0
"""Largest enlargement: beyond it, there is no vessel to find."""


def scale_for(fov: NDArray[np.bool_], wanted: int | None) -> float:
    """The factor that makes the field of view `wanted` pixels wide; 1 when that is None.

    Raises DataError when the image would be enlarged more than MOST times.
    """
    if wanted is None:
        return 1.0
    columns = np.flatnonzero(fov.any(axis=0))
    width = int(columns[-1] - columns[0]) + 1
    if wanted > MOST * width:
        raise DataError(
            f"found a field of view of {width} pixels, expected at least {wanted / MOST:.0f} to "
            f"enlarge it to {wanted}"
        )
    return wanted / width


def predict_at(
    model: Model, image: NDArray[np.uint8], scale: float, flips: bool, watch: Watch | None = None
) -> NDArray[np.float32]:
    """Vessel probability [H, W] of [H, W, 3], which the network sees `scale` times as large."""
    if model.rule != MEAN:  # members are combined at the image's own size
        return combine(model.rule, members_at(model, image, scale, flips, watch))
    prob = model.predict(_resized(image, scale), flips, watch)
    return prob if scale == 1 else _back(prob, image)


def members_at(
    model: Model, image: NDArray[np.uint8], scale: float, flips: bool, watch: Watch | None = None
) -> NDArray[np.float32]:
    """`predict_at` of each member, [n, H, W]."""
    maps = model.members(_resized(image, scale), flips, watch)
    return maps if scale == 1 else np.stack([_back(prob, image) for prob in maps])


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _back(prob: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The map at the image's own size."""
    height, width = image.shape[:2]
    back = np.asarray(Image.fromarray(prob).resize((width, height), Image.Resampling.BICUBIC))
    return back.clip(0, 1)  # bicubic interpolation overshoots
