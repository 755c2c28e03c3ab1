"""Precision and recall, density and coverage: fidelity and diversity apart, by nearest neighbours.

A set's manifold is estimated by balls around its feature vectors, each reaching to the k-th nearest
neighbour in its own set. All distances are float64 and computed in blocks of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 512
"""Rows of a block of distances: 32 MiB of float64 beside 8192 others."""


def manifold(real: Tensor, fake: Tensor, neighbours: int = 5) -> dict[str, float]:
    """Compare two feature sets `[N, D]` of at least two rows each.

    precision: share of fakes inside some real ball; recall: share of reals inside some fake ball
    (Kynkäänniemi et al. 2019, equations 1 and 2). density: real balls around a fake, as a share of
    the k expected: outliers count little, and it may exceed 1; coverage: share of reals with a fake
    inside their ball (Naeem et al. 2020, equations 5 and 6). `neighbours` (k) is lowered to what
    the smaller set can have.
    """
    k = min(neighbours, len(real) - 1, len(fake) - 1)
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    around: list[Tensor] = []  # real balls around each fake
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows, radius in zip(fake.split(ROWS), fake_radius.split(ROWS), strict=True):
        distances = torch.cdist(rows.double(), real.double())
        inside = distances <= real_radius
        around.append(inside.sum(dim=1))
        covered |= inside.any(dim=0)
        recalled |= (distances <= radius[:, None]).any(dim=0)
    balls = torch.cat(around).double()
    return {
        "precision": float((balls > 0).double().mean()),
        "recall": float(recalled.double().mean()),
        "density": float(balls.mean() / k),
        "coverage": float(covered.double().mean()),
        "neighbours": k,
    }


def radii(features: Tensor, k: int) -> Tensor:
    """Return `[N]` float64: the distance of each row to its k-th nearest other row."""
    return nearest(features, features, k + 1)[0][:, k]  # itself is the nearest, at distance 0


def nearest(queries: Tensor, among: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distances `[N, k]` float64 of each query's k nearest rows of `among`, in rising
    order, and their indices `[N, k]`."""
    if not 1 <= k <= len(among):
        raise ValueError(f"cannot find {k} neighbours among {len(among)} rows")
    whole = among.double()
    found = [
        torch.cdist(rows.double(), whole).topk(k, dim=1, largest=False)
        for rows in queries.split(ROWS)
    ]
    return torch.cat([near.values for near in found]), torch.cat([near.indices for near in found])
