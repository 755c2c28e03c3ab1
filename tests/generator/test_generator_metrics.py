"""FID and KID against published formulas, and what they say of simple cases."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from generator_helpers import parity, tensor
from torch import nn

from vesselforge.configs.errors import DataError
from vesselforge.generator.metrics.distances import (
    fid,
    kid,
    kid_floor,
    mmd,
    score_features,
    subset_of,
)
from vesselforge.generator.metrics.extractors import extract

FILE = "metrics_formulas"
SUBSETS = "vesselforge.generator.metrics.distances.SUBSETS"


class Means(nn.Module):
    """Mean colours of the four quarters of an image: 12 features."""

    num_features = 12

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)


def score(real, fake, kid_subset_size=32):
    means = Means()
    return score_features(extract(real, means), extract(fake, means), kid_subset_size)


def pictures(n, seed, level=128):
    rng = np.random.default_rng(seed)
    base = rng.normal(level, 20, [n, 3, 1, 1]) + rng.normal(0, 20, [n, 3, 16, 16])
    return torch.from_numpy(base.clip(0, 255).astype(np.uint8))


def test_fid_is_the_published_one():
    found = fid(tensor(FILE, "real_features"), tensor(FILE, "gen_features"))
    assert found == pytest.approx(float(parity(FILE)["fid"]), rel=1e-6)


def test_kid_is_the_published_one(monkeypatch):
    """Subsets included: the same legacy draws, the generated one first."""
    real, fake = tensor(FILE, "real_features"), tensor(FILE, "gen_features")
    reference = float(parity(FILE)["kid_seed0_subsets5_size100"])
    monkeypatch.setattr(SUBSETS, 5)
    assert kid(real, fake, 100, seed=0)[0] == pytest.approx(reference, rel=1e-6)
    monkeypatch.setattr(SUBSETS, 100)
    mean, deviation = kid(real, fake, 100, seed=3)
    assert abs(mean - reference) < 4 * deviation / np.sqrt(5)


def test_kid_against_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(0.5, 2, size=(7, 3))

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    m = len(x)
    pairs = [(i, j) for i in range(m) for j in range(m)]
    own = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j) / (m * (m - 1))
    cross = sum(kernel(x[i], y[j]) for i, j in pairs) / m**2
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    assert mmd(a, b) == pytest.approx(own - 2 * cross, rel=1e-12)


def test_kid_floor_splits_one_set_in_two(monkeypatch):
    monkeypatch.setattr(SUBSETS, 1)
    real = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double()
    values = {round(mmd(real[list(h)], real[list(o)]), 9) for h, o in halves(6)}
    mean, deviation = kid_floor(real, 3, seed=0)
    assert round(mean, 9) in values
    assert deviation == 0
    assert subset_of(1000, 6) == 3


def halves(n):
    """Every way to split n things in two ordered halves."""
    for half in permutations(range(n), n // 2):
        rest = [i for i in range(n) if i not in half]
        yield half, rest


def test_kid_leaves_the_global_random_stream_alone():
    a = torch.randn(20, 4)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = kid(a, a + 1, 10, seed=0)
    assert torch.equal(torch.rand(1), expected)
    assert kid(a, a + 1, 10, seed=0) == first
    assert kid(a, a + 1, 10, seed=1) != first


def test_same_distribution_is_at_the_floor_and_another_is_not():
    real = pictures(64, 0)
    same = score(real, pictures(64, 1))
    other = score(real, pictures(64, 2, level=150))
    assert abs(same["kid_mean"]) < 3 * same["kid_std"]
    assert abs(same["kid_floor_mean"]) < 3 * same["kid_floor_std"]
    assert other["kid_mean"] > 5 * max(same["kid_mean"], same["kid_floor_mean"], 1e-6)
    assert other["fid"] > 5 * same["fid"]
    assert (same["real"], same["synthetic"], same["subset_size"]) == (64, 64, 32)


def test_identical_sets_have_no_distance():
    real = pictures(8, 0)
    assert score(real, real)["fid"] == pytest.approx(0, abs=1e-6)


def test_small_sets():
    found = score(pictures(3, 0), pictures(5, 1), kid_subset_size=1000)
    assert found["subset_size"] == 2
    assert "kid_floor_mean" not in found
    with pytest.raises(DataError, match="not 1 real and 5"):
        score(pictures(1, 0), pictures(5, 1))


def test_features_do_not_depend_on_the_batch():
    mixed = [*pictures(5, 0), torch.zeros(1, 9, 9, dtype=torch.uint8), *pictures(2, 1)]
    assert extract(mixed, Means(), 3).shape == (8, 12)
    assert torch.allclose(extract(mixed, Means(), 3), extract(mixed, Means(), 1))
