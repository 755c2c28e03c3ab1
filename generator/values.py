"""Between files and networks: pixel values, depths and sizes.

Pixels are uint8 or uint16; networks see float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vesselforge.data.formats.channels import Pixels


def to_network(views: Pixels, device: torch.device) -> Tensor:
    """Map uint8 or uint16 to float32 in [-1, 1]: x / 127.5 - 1, x / 32767.5 - 1."""
    half = 32767.5 if views.dtype == np.uint16 else 127.5
    pixels = torch.from_numpy(views)
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(torch.float32) / half - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map [-1, 1] to uint8 by truncation, the published rule for samples and metrics."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def to_pixels(images: Tensor, bits: int) -> Tensor:
    """Map [-1, 1] to `Channels.bits`, the depth of the files that the generator learnt from."""
    if bits == 8:
        return to_uint8(images)
    return (images.float() * 32767.5 + 32768).clamp(0, 65535).to(torch.uint16)


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
    wanted = size[1], size[0]
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(wanted, resampling))
    deep = image.dtype == np.uint16  # as float32, which holds them exactly
    planes = []
    for channel in range(image.shape[2]):
        plane = np.ascontiguousarray(image[..., channel])
        picture = Image.fromarray(plane.astype(np.float32) if deep else plane)
        values = np.asarray(picture.resize(wanted, resampling))
        planes.append(np.rint(values).clip(0, 65535).astype(np.uint16) if deep else values)
    return np.stack(planes, axis=2)
