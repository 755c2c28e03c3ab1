"""Batches of homogeneous 2-D and 3-D transformation matrices, as `[N, 3, 3]` and `[N, 4, 4]`.

Entries may be numbers or tensors `[N]`; a matrix of numbers alone is `[n, n]` and broadcasts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Entry = float | Tensor


def matrix(*rows: list[Entry]) -> Tensor:
    """Stack entries into matrices, broadcasting numbers against tensors."""
    entries = [entry for row in rows for entry in row]
    tensors = [entry for entry in entries if isinstance(entry, Tensor)]
    shape = torch.broadcast_shapes(*[t.shape for t in tensors]) if tensors else torch.Size()
    device = tensors[0].device if tensors else torch.device("cpu")
    whole = [torch.as_tensor(e, dtype=torch.float32, device=device).expand(shape) for e in entries]
    return torch.stack(whole, dim=-1).reshape(*shape, len(rows), -1)


def translate2d(x: Entry, y: Entry) -> Tensor:
    """Move by (x, y)."""
    return matrix([1, 0, x], [0, 1, y], [0, 0, 1])


def scale2d(x: Entry, y: Entry) -> Tensor:
    """Stretch by (x, y) about the origin."""
    return matrix([x, 0, 0], [0, y, 0], [0, 0, 1])


def rotate2d(theta: Tensor) -> Tensor:
    """Rotate by theta radians, from the x axis towards the y axis."""
    c, s = theta.cos(), theta.sin()
    return matrix([c, -s, 0], [s, c, 0], [0, 0, 1])


def translate3d(x: Entry, y: Entry, z: Entry) -> Tensor:
    """Move by (x, y, z)."""
    return matrix([1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1])


def scale3d(x: Entry, y: Entry, z: Entry) -> Tensor:
    """Stretch by (x, y, z) about the origin."""
    return matrix([x, 0, 0, 0], [0, y, 0, 0], [0, 0, z, 0], [0, 0, 0, 1])


def rotate_about_gray(theta: Tensor) -> Tensor:
    """Rotate by theta radians about the axis (1, 1, 1): a shift of hue (Rodrigues' formula)."""
    v = 1 / math.sqrt(3)
    c, s = theta.cos(), theta.sin()
    same, up, down = v * v * (1 - c) + c, v * v * (1 - c) + v * s, v * v * (1 - c) - v * s
    return matrix([same, down, up, 0], [up, same, down, 0], [down, up, same, 0], [0, 0, 0, 1])
