"""Precision and recall, density and coverage: fidelity and diversity apart, by nearest neighbours.

A set's manifold is estimated by balls around its feature vectors, each reaching to the k-th nearest
neighbour in its own set. All distances are float64 and computed in blocks of bounded size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS, COLUMNS = 512, 8192
"""A block of distances: 32 MiB of float64, whatever the sizes of the sets."""


@dataclass(frozen=True)
class Manifold:
    """precision: share of fakes inside some real ball; recall: share of reals inside some fake
    ball. density: real balls around a fake, as a share of the k expected: outliers count little,
    and it may exceed 1. coverage: share of reals with a fake inside their ball."""

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int


def manifold(real: Tensor, fake: Tensor, neighbours: int = 5) -> Manifold:
    """Compare two feature sets `[N, D]` of at least two rows each.

    Precision and recall: Kynkäänniemi et al. 2019, equations 1 and 2. Density and coverage: Naeem
    et al. 2020, equations 5 and 6. `neighbours` (k) is lowered to what the smaller set can have.
    """
    k = min(neighbours, len(real) - 1, len(fake) - 1)
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    around = torch.zeros(len(fake), dtype=torch.int64)  # real balls around each fake
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows, columns, distances in _blocks(fake, real):
        inside = distances <= real_radius[columns]
        around[rows] += inside.sum(dim=1)
        covered[columns] |= inside.any(dim=0)
        recalled[columns] |= (distances <= fake_radius[rows, None]).any(dim=0)
    return Manifold(
        precision=float((around > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(around.double().mean() / k),
        coverage=float(covered.double().mean()),
        neighbours=k,
    )


def radii(features: Tensor, k: int) -> Tensor:
    """Return `[N]` float64: the distance of each row to its k-th nearest other row."""
    return nearest(features, features, k + 1)[0][:, k]  # itself is the nearest, at distance 0


def nearest(queries: Tensor, among: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distances `[N, k]` float64 of each query's k nearest rows of `among`, in rising
    order, and their indices `[N, k]`."""
    if not 1 <= k <= len(among):
        raise ValueError(f"cannot find {k} neighbours among {len(among)} rows")
    best = torch.full((len(queries), k), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(queries), k, dtype=torch.int64)
    for rows, columns, distances in _blocks(queries, among):
        positions = torch.arange(columns.start, columns.start + distances.shape[1])
        candidates = torch.cat([best[rows], distances], dim=1)
        places = torch.cat([index[rows], positions.expand(len(distances), -1)], dim=1)
        best[rows], chosen = candidates.topk(k, dim=1, largest=False)
        index[rows] = places.gather(1, chosen)
    return best, index


def _blocks(a: Tensor, b: Tensor):  # type: ignore[no-untyped-def]
    """Yield (rows of a, rows of b, distances between them) until all pairs were had."""
    for i in range(0, len(a), ROWS):
        part = a[i : i + ROWS].double()
        for j in range(0, len(b), COLUMNS):
            distances = torch.cdist(part, b[j : j + COLUMNS].double())
            yield slice(i, i + ROWS), slice(j, j + COLUMNS), distances
