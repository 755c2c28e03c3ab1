"""Precision, recall, density and coverage against their definitions, written as loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import parity, tensor

from vesselforge.generator.metrics import distances as module
from vesselforge.generator.metrics.distances import manifold, nearest, radii

FILE = "metrics_formulas"


def clouds(n, m, d=3, shift=0.7, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(
        rng.normal(shift, 1.5, size=(m, d))
    )


def slowly(real, fake, k):
    """The four definitions, ball by ball."""

    def distance(a, b):
        return float(((a - b) ** 2).sum() ** 0.5)

    def reach(points, i):
        return sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    real_reach = [reach(real, i) for i in range(len(real))]
    fake_reach = [reach(fake, j) for j in range(len(fake))]
    inside = [[distance(f, r) <= real_reach[i] for i, r in enumerate(real)] for f in fake]
    recalled = [any(distance(r, f) <= fake_reach[j] for j, f in enumerate(fake)) for r in real]
    return (
        np.mean([any(row) for row in inside]),
        np.mean(recalled),
        np.sum(inside) / (k * len(fake)),
        np.mean([any(row[i] for row in inside) for i in range(len(real))]),
    )


@pytest.mark.parametrize("k", [1, 3])
def test_against_loops(k, monkeypatch):
    monkeypatch.setattr(module, "ROWS", 5)  # several blocks
    real, fake = clouds(17, 12)
    found = manifold(real, fake, k)
    expected = slowly(real, fake, k)
    figures = tuple(found[name] for name in ("precision", "recall", "density", "coverage"))
    assert figures == pytest.approx(expected, abs=1e-12)
    assert 0 < found["coverage"] < 1, "a case in which nothing is trivial"
    assert found["neighbours"] == k


def test_the_published_precision_and_recall():
    """The published code rounds features to half precision: hence the tolerance."""
    found = manifold(tensor(FILE, "real_features"), tensor(FILE, "gen_features"), 3)
    reference = parity(FILE)["pr_k3_precision_recall_fp32"]
    assert (found["precision"], found["recall"]) == pytest.approx(reference, abs=2e-2)


def test_simple_cases():
    real, _ = clouds(30, 1)
    same = manifold(real, real, 5)
    assert [same[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    far = manifold(real, real + 100, 5)
    assert sum(far.values()) == far["neighbours"]
    one_mode = manifold(real, real[:1].repeat(20, 1), 5)
    assert one_mode["precision"] == 1, "what is drawn is real"
    assert one_mode["recall"] < 0.1, "but hardly anything is drawn"
    assert manifold(real[:3], real[3:6], 5)["neighbours"] == 2, "a set of 3 has 2 neighbours"


def test_nearest_is_what_sorting_finds(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 4)
    a, b = clouds(9, 11)
    distances, index = nearest(a, b, 4)
    whole = torch.cdist(a, b)
    assert torch.allclose(distances, whole.sort(dim=1).values[:, :4])
    assert torch.equal(index, whole.argsort(dim=1)[:, :4])
    assert torch.allclose(radii(a, 2), torch.cdist(a, a).sort(dim=1).values[:, 2])
