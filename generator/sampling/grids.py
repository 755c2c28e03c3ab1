"""Contact sheets: many small images in one PNG, whatever their channels.

Pixels follow the truncation rule of samples everywhere. The published code rounds in its grids
alone, so that a sheet and the single files of the same seeds differ there by one level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesselforge.configs.settings import SampleSettings
from vesselforge.data.formats.channels import Channels, Kind, Pixels, eight_bit
from vesselforge.data.formats.sheets import SHEET_PIXELS, columns_of, grid_of
from vesselforge.generator.networks import Generator
from vesselforge.generator.sampling.draw import Sampler, generate, latents, latents_of
from vesselforge.generator.values import resized, to_pixels

__all__ = [
    "channels_of", "generate", "latents", "latents_of", "official_grid",
    "picture_size", "pictures", "sample_grid", "sheet_columns",
]  # fmt: skip

GRID_IMAGES = 32


def channels_of(description: Mapping[str, Any]) -> Channels:
    """Return what a generator's channels mean, from its generator.json; where that does not say
    (a converted official file), by their number."""
    known = description.get("channels")
    if known is not None:
        return Channels.from_json(known)
    count = int(description["generator"]["img_channels"])
    kinds: dict[int, Kind] = {1: "grey", 3: "rgb", 4: "rgb+mask"}
    return Channels(kinds[count], count)


def picture_size(description: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) at which a generator's images are looked at: as high as the network
    makes them, and as wide as the shape of whole images asks."""
    side, native = int(description["resolution"]), description.get("native_size")
    return side, side if native is None else max(1, round(side * native[1] / native[0]))


def official_grid(height: int, width: int) -> tuple[int, int]:
    """Return (columns, rows) of the published snapshot sheets: about 7680 x 4320 pixels."""
    return min(max(7680 // width, 7), 32), min(max(4320 // height, 4), 32)


def sheet_columns(count: int, height: int, width: int) -> int:
    """Return how many columns make a sheet of `count` images about as wide as a screen, 16 : 9;
    never more than `official_grid` has."""
    wide = math.ceil(math.sqrt(count * 16 / 9 * height / width))
    return max(1, min(wide, count, official_grid(height, width)[0]))


def sample_grid(
    generator: Generator,
    seed: int,
    psi: float = 1.0,
    labels: ArrayLike | None = None,
    channels: Channels | None = None,
) -> NDArray[np.uint8]:
    """Return a contact sheet `[H, W, 3]` of the same fixed latents at every call, noise const.

    labels: `[n, c_dim]`, label vectors of the training images; row r of the sheet shows those of
    image r. A conditional generator without them shows class r in row r.
    """
    side = generator.img_resolution
    if channels is None:
        channels = channels_of({"generator": {"img_channels": generator.img_channels}})
    count = max(4, min(GRID_IMAGES, (SHEET_PIXELS // side) ** 2))
    columns = columns_of(count, side)
    table = np.eye(generator.c_dim) if labels is None else np.asarray(labels)
    found = []
    for start in range(0, count, columns):
        row = range(seed + start, seed + min(start + columns, count))
        label = table[start // columns % len(table)].tolist() if generator.c_dim else None
        images = Sampler(generator, SampleSettings(psi=psi, label=label)).draw(row)
        found.append(pictures(to_pixels(images, channels.bits).numpy(), channels))
    return grid_of(np.concatenate(found), columns)


def pictures(
    images: Pixels, channels: Channels, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Return `[N, 3, H, W']` uint8 to look at, of views or samples `[N, C, H, W]`.

    Grey is repeated; a mask stands right of its image (W' = 2 W).
    size: (height, width) to resize each plane to.
    """
    if size is not None and size != images.shape[2:]:
        fitted = [resized(image.transpose(1, 2, 0), size) for image in images]
        images = np.stack(fitted).transpose(0, 3, 1, 2)
    planes = eight_bit(images)
    if channels.kind == "grey":
        return _grey(planes)
    if channels.kind == "rgb+mask":
        return np.concatenate([planes[:, :3], _grey(planes[:, 3:])], axis=3)
    return planes


def _grey(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(plane, 3, axis=1)
