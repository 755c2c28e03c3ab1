"""How two sets of features lie to each other: FID and KID, of which torchmetrics does the
arithmetic; precision, recall, density and coverage, which take fidelity and diversity apart.
torchmetrics takes two seconds to import, so that is left to those who score.

With a few dozen images FID is mostly bias. KID has none, and comes with an error bar and a floor:
what parts of the real set score against each other. The others estimate a set's manifold by balls
around its feature vectors, each reaching to the k-th nearest neighbour in its own set; distances
are float64 and computed in blocks of rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vesselforge.configs.errors import DataError

Figures = dict[str, float]
SEED = 0
"""Of crops and resampling."""
SUBSETS = 50
"""Resamplings behind KID's error bar."""
ROWS = 512
"""Rows of a block of distances: 32 MiB of float64 beside 8192 others."""


def score_features(real: Tensor, fake: Tensor, kid_subset_size: int) -> Figures:
    """Return FID, KID and its floor, precision, recall, density and coverage of features `[N, D]`.

    The floor is the KID of real images against other real images: samples cannot be expected
    below it. FID has none here, for its bias grows as sets shrink and halves are not comparable.
    Raises DataError with fewer than 2 images on a side; below 4 real images the floor is left out.
    """
    if min(len(real), len(fake)) < 2:
        raise DataError(
            f"scores need at least 2 images on each side, not {len(real)} real and {len(fake)} "
            "synthetic; raise sample.count or score.real_views"
        )
    mean, deviation = kid(real, fake, kid_subset_size, SEED)
    found: Figures = {
        "fid": fid(real, fake),
        "kid_mean": mean,
        "kid_std": deviation,
        "real": len(real),
        "synthetic": len(fake),
        "subsets": SUBSETS,
        "subset_size": subset_of(kid_subset_size, len(real), len(fake)),
        **manifold(real, fake),
    }
    if len(real) >= 4:
        mean, deviation = kid_floor(real, kid_subset_size, SEED)
        found |= {"kid_floor_mean": mean, "kid_floor_std": deviation}
    return found


def fid(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of two feature sets `[N, D]` (Heusel et al. 2017, equation 6):
    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2·√(Σ₁Σ₂)), in float64, covariances with 1/N as published.

    torchmetrics divides by N - 1, which at 64 images is 1.6 % of the covariance: scaling the
    features about their mean by √((N - 1)/N) beforehand undoes that exactly.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    given = nn.Identity()  # features are at hand; torchmetrics would compute them for each metric
    given.num_features = real.shape[1]  # type: ignore[assignment]
    metric = FrechetInceptionDistance(feature=given)
    metric.set_dtype(torch.float64)
    for features, is_real in ((real, True), (fake, False)):
        n, exact = len(features), features.double()
        mean = exact.mean(dim=0)
        metric.update(mean + (exact - mean) * ((n - 1) / n) ** 0.5, real=is_real)
    return float(metric.compute())


def kid(real: Tensor, fake: Tensor, subset_size: int, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation of KID over random subsets.

    A subset is at most half of the smaller set, or resampling would find no variation at all.
    Draws as the published code does: NumPy's legacy stream, the generated subset first.
    """
    size = subset_of(subset_size, len(real), len(fake))
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(SUBSETS):
        y = fake[torch.from_numpy(rng.choice(len(fake), size, replace=False))]
        x = real[torch.from_numpy(rng.choice(len(real), size, replace=False))]
        values.append(mmd(x, y))
    return float(np.mean(values)), float(np.std(values))


def subset_of(wanted: int, *counts: int) -> int:
    """Return the size of KID's subsets: as wanted, at most half of the smallest set, at least 2."""
    return max(2, min(wanted, min(counts) // 2))


def kid_floor(real: Tensor, subset_size: int, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation of KID between disjoint random subsets of one set."""
    size = subset_of(subset_size, len(real))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(SUBSETS):
        order = torch.from_numpy(rng.permutation(len(real)))
        values.append(mmd(real[order[:size]], real[order[size : 2 * size]]))
    return float(np.mean(values)), float(np.std(values))


def mmd(a: Tensor, b: Tensor) -> float:
    """Return the unbiased squared MMD of two sets `[m, D]` with the kernel (x·y/D + 1)³
    (Bińkowski et al. 2018, equation 4)."""
    from torchmetrics.image.kid import poly_mmd

    return float(poly_mmd(a.double(), b.double()))


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
    whole = among.double()
    found = [
        torch.cdist(rows.double(), whole).topk(k, dim=1, largest=False)
        for rows in queries.split(ROWS)
    ]
    return torch.cat([near.values for near in found]), torch.cat([near.indices for near in found])
