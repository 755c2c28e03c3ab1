"""Between files and networks: pixel values, sizes, and the vessel mask as an image channel.

Pixels are uint8; networks see float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

Pixels = NDArray[np.uint8]
Kind = Literal["rgb", "grey", "rgb+mask"]
"""The setting `generator.channels`."""
REACH_PX = 4.0
"""Pixels from a vessel's edge at which the channel has done three quarters of its way."""
HEIGHT = 0.7
"""Greatest distance from 0, in the units of a network, [-1, 1]: the ends of the range are free."""


@dataclass(frozen=True)
class Channels:
    """What a generator draws; count: channels of the network."""

    kind: Kind = "rgb"
    count: int = 3


def to_network(views: Pixels, device: torch.device) -> Tensor:
    """Map uint8 to float32 in [-1, 1]: x / 127.5 - 1."""
    pixels = torch.from_numpy(views)
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map [-1, 1] to uint8 by truncation, the published rule for samples and metrics."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def restore(image: Pixels, native_size: Sequence[int] | None) -> Pixels:
    """Resize a generated `[R, R, C]` image of `full` presentation to the (height, width) of the
    originals, so that vessels are as wide as the segmenter knows them; None leaves it alone."""
    if native_size is None or tuple(native_size) == image.shape[:2]:
        return image
    height, width = native_size
    return resized(image, (height, width), Image.Resampling.BICUBIC)


def resized(
    image: Pixels,
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> Pixels:
    """Resize `[H, W, C]` to (height, width) with antialiasing, every channel by itself."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, 2, 0)]
    return np.stack([np.asarray(plane.resize(size[::-1], resampling)) for plane in planes], axis=2)


def encoded(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mask as a channel that a generator can learn, `[H, W]` in (-0.7, 0.7):
    0.7·tanh(d / 4 px), d the signed distance to the vessels' edge, positive inside; at least half a
    pixel from 0.

    A hard mask gives every fake away, for no generator draws an exactly constant background. A
    distance has a slope everywhere, so that there is always a way to a better mask; and the mask of
    a sample is where the channel is above 0.
    """
    # Without a vessel, or without a background, the edge is out of reach everywhere.
    far = np.full(mask.shape, np.inf)
    inside = far if mask.all() else ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask) if mask.any() else far
    signed = np.where(mask, inside - 0.5, 0.5 - outside)
    return np.asarray(HEIGHT * np.tanh(signed / REACH_PX), dtype=np.float32)


def as_channel(mask: NDArray[np.bool_]) -> Pixels:
    """Return `[H, W, 1]`, `encoded` in pixel values."""
    return np.rint((encoded(mask) + 1) * 127.5).astype(np.uint8)[..., None]


def masks_of(images: Tensor) -> NDArray[np.bool_]:
    """Return the masks `[N, H, W]` of images `[N, C, H, W]`, drawn or real, as a network knows
    them: where the last channel, which is as `encoded`, is above 0."""
    return np.asarray((images[:, -1] > 0).cpu())
