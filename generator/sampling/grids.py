"""Contact sheets: many small images in one PNG, whatever their channels.

Pixels follow the truncation rule of samples everywhere. The published code rounds in its grids
alone, so that a sheet and the single files of the same seeds differ there by one level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesselforge.data.formats.sheets import SHEET_PIXELS, columns_of, grid_of
from vesselforge.generator.networks import Generator
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.values import Pixels, resized, to_uint8

GRID_IMAGES = 32


def picture_size(description: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) at which a generator's images are looked at: as high as the network
    makes them, and as wide as the shape of whole images asks."""
    side, native = int(description["resolution"]), description.get("native_size")
    return side, side if native is None else max(1, round(side * native[1] / native[0]))


def sample_grid(
    generator: Generator,
    seed: int,
    labels: ArrayLike | None = None,
    psi: float = 1.0,
) -> NDArray[np.uint8]:
    """Return a contact sheet `[H, W, 3]` of the same fixed latents at every call.

    labels: `[n, c_dim]`, label vectors of the training images; row r of the sheet shows those of
    image r. A conditional generator without them shows class r in row r.
    """
    side = generator.img_resolution
    count = max(4, min(GRID_IMAGES, (SHEET_PIXELS // side) ** 2))
    columns = columns_of(count, side)
    table = np.eye(generator.c_dim) if labels is None else np.asarray(labels)
    found = []
    for start in range(0, count, columns):
        row = range(seed + start, seed + min(start + columns, count))
        label = table[start // columns % len(table)].tolist() if generator.c_dim else None
        images = Sampler(generator, psi, label).draw(row)
        found.append(pictures(to_uint8(images).numpy()))
    return grid_of(np.concatenate(found), columns)


def pictures(images: Pixels, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return `[N, 3, H, W']` uint8 to look at, of views or samples `[N, C, H, W]`.

    Grey is repeated; a mask stands in grey right of its image (W' = 2·W). size: (height, width) to
    resize each plane to.
    """
    if size is not None and size != images.shape[2:]:
        fitted = [resized(image.transpose(1, 2, 0), size) for image in images]
        images = np.stack(fitted).transpose(0, 3, 1, 2)
    colours = 3 if images.shape[1] >= 3 else 1
    beside = [images[:, i : i + 1] for i in range(colours, images.shape[1])]
    planes = (images[:, :colours], *beside)
    return np.concatenate([np.broadcast_to(p, (len(p), 3, *p.shape[2:])) for p in planes], axis=3)
