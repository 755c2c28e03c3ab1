"""Contact sheets: many small images in one PNG."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from generator.networks import Generator
from generator.views import to_uint8

GRID_PIXELS = 1024
"""Greatest width of a contact sheet, unless one image is wider."""
GRID_IMAGES = 32


def latents(first_seed: int, count: int, z_dim: int) -> torch.Tensor:
    """Return `[count, z_dim]` float64: row i depends on first_seed + i alone, as published."""
    rows = [np.random.RandomState(first_seed + i).randn(1, z_dim) for i in range(count)]
    return torch.from_numpy(np.concatenate(rows))


@torch.no_grad()
def generate(generator: Generator, z: torch.Tensor, psi: float = 1.0) -> NDArray[np.uint8]:
    """Return `[N, R, R, 3]` uint8 (one channel is repeated), noise const.

    On a CPU one image at a time: as fast as a batch there, and bit for bit independent of how
    images are grouped.
    """
    device = next(generator.parameters()).device
    parts = z.to(torch.float32).split(1 if device.type == "cpu" else max(1, len(z)))
    images = [generator(part.to(device), truncation_psi=psi, noise_mode="const") for part in parts]
    pixels = to_uint8(torch.cat(images)).cpu().permute(0, 2, 3, 1).numpy()
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels[..., :3]


def sample_grid(generator: Generator, seed: int, psi: float = 1.0) -> NDArray[np.uint8]:
    """Return a contact sheet of the same fixed latents at every call."""
    side = generator.img_resolution
    count = max(4, min(GRID_IMAGES, (GRID_PIXELS // side) ** 2))
    images = generate(generator, latents(seed, count, generator.z_dim), psi)
    return grid_of(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def grid_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Arrange `[N, C, H, W]` in rows, `[rows·H, columns·W, C]`; missing places are black."""
    n, c, h, w = images.shape
    columns = max(1, min(n, 8, GRID_PIXELS // w))
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, c, h, w), dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, c, h, w).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(sheet.reshape(rows * h, columns * w, c))
