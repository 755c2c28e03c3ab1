"""The vessel mask as an image channel that a generator can learn: `channels: rgb+mask`.

A hard mask gives every fake away, for no generator draws an exactly constant background. A distance
has a slope everywhere, so that there is always a way to a better mask; and the mask of a sample is
where the channel is above 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from vesselforge.data.formats.channels import Pixels

REACH_PX = 4.0
"""Pixels from a vessel's edge at which the channel has done three quarters of its way."""
HEIGHT = 0.7
"""Greatest distance from 0, in the units of a network, [-1, 1]: the ends of the range are free."""


def encoded(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return `[H, W]` in (-0.7, 0.7): 0.7·tanh(d / 4 px), d the signed distance to the vessels'
    edge, positive inside; at least half a pixel from 0."""
    # Without a vessel, or without a background, the edge is out of reach everywhere.
    far = np.full(mask.shape, np.inf)
    inside = far if mask.all() else ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask) if mask.any() else far
    signed = np.where(mask, inside - 0.5, 0.5 - outside)
    return np.asarray(HEIGHT * np.tanh(signed / REACH_PX), dtype=np.float32)


def as_channel(mask: NDArray[np.bool_], dtype: np.dtype[Any]) -> Pixels:
    """Return `[H, W, 1]`, `encoded` in the pixel values of a uint8 or uint16 image."""
    half = np.iinfo(dtype).max / 2
    return np.rint((encoded(mask) + 1) * half).astype(dtype)[..., None]


def masks_of(images: Tensor) -> NDArray[np.bool_]:
    """Return the masks `[N, H, W]` of images `[N, C, H, W]`, drawn or real, as a network knows
    them: where the last channel, which is as `encoded`, is above 0."""
    return np.asarray((images[:, -1] > 0).cpu())
