"""FID and KID against published formulas, and what they say of simple cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import as_artifact, parity, tensor, tiny, write_image_set
from torch import nn
from torchmetrics.image.kid import poly_mmd

from configs.errors import DataError
from configs.settings import SampleSettings, ScoreSettings
from data.progress import Progress
from generator.metrics.score import extract, fid, kid, score, score_images
from generator.sampling import sample
from generator.training import train

FILE = "metrics_formulas"


class Means(nn.Module):
    """Mean colours of the four quarters of an image: 12 features."""

    num_features = 12

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)


def pictures(n, seed, level=128):
    rng = np.random.default_rng(seed)
    base = rng.normal(level, 20, [n, 3, 1, 1]) + rng.normal(0, 20, [n, 3, 16, 16])
    return torch.from_numpy(base.clip(0, 255).astype(np.uint8))


def test_fid_is_the_published_one():
    found = fid(tensor(FILE, "real_features"), tensor(FILE, "gen_features"))
    assert found == pytest.approx(float(parity(FILE)["fid"]), rel=1e-6)


def test_kid_formula_is_the_published_one():
    """The published subsets, drawn by NumPy, through the formula that torchmetrics uses."""
    real, fake = tensor(FILE, "real_features").double(), tensor(FILE, "gen_features").double()
    rng = np.random.RandomState(0)
    values = []
    for _ in range(5):
        b = fake[rng.choice(len(fake), 100, replace=False)]
        a = real[rng.choice(len(real), 100, replace=False)]
        values.append(float(poly_mmd(a, b)))
    reference = float(parity(FILE)["kid_seed0_subsets5_size100"])
    assert np.mean(values) == pytest.approx(reference, rel=1e-5)
    mean, deviation = kid(real, fake, subsets=100, subset_size=100, seed=3)
    assert abs(mean - reference) < 4 * deviation / np.sqrt(5)


def test_kid_leaves_the_global_random_stream_alone():
    a = torch.randn(20, 4)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = kid(a, a + 1, 5, 10, seed=0)
    assert torch.equal(torch.rand(1), expected)
    assert kid(a, a + 1, 5, 10, seed=0) == first
    assert kid(a, a + 1, 5, 10, seed=1) != first


def test_same_distribution_is_at_the_floor_and_another_is_not():
    real = pictures(64, 0)
    same = score(real, pictures(64, 1), Means())
    other = score(real, pictures(64, 2, level=150), Means())
    assert abs(same["kid_mean"]) < 3 * same["kid_std"]
    assert abs(same["kid_floor_mean"]) < 3 * same["kid_floor_std"]
    assert other["kid_mean"] > 5 * max(same["kid_mean"], same["kid_floor_mean"], 1e-6)
    assert other["fid"] > 5 * same["fid"]
    assert (same["real"], same["synthetic"], same["subset_size"]) == (64, 64, 32)


def test_identical_sets_have_no_distance():
    real = pictures(8, 0)
    assert score(real, real, Means())["fid"] == pytest.approx(0, abs=1e-6)


def test_small_sets():
    found = score(pictures(3, 0), pictures(5, 1), Means(), kid_subset_size=1000)
    assert found["subset_size"] == 2
    assert "kid_floor_mean" not in found
    with pytest.raises(DataError, match="not 1 real and 5"):
        score(pictures(1, 0), pictures(5, 1), Means())
    with pytest.raises(DataError, match="no images"):
        score([], pictures(5, 1), Means())


def test_features_do_not_depend_on_the_batch():
    mixed = [*pictures(5, 0), torch.zeros(1, 9, 9, dtype=torch.uint8), *pictures(2, 1)]
    assert extract(mixed, Means(), 3).shape == (8, 12)
    assert torch.allclose(extract(mixed, Means(), 3), extract(mixed, Means(), 1))
    with pytest.raises(TypeError, match="uint8"):
        extract(torch.rand(2, 3, 8, 8), Means())


@pytest.mark.parametrize("presentation", ["patch", "full"])
def test_scoring_a_sample_folder(tmp_path, presentation):
    images = write_image_set(tmp_path / "images")
    trained, out = tmp_path / "trained", tmp_path / "samples"
    trained.mkdir()
    train(tiny(steps=1, presentation=presentation), {"images": images}, trained, Progress())
    inputs = {"generator": as_artifact(trained, "generator.train")}
    sample(SampleSettings(count=6, device="cpu"), inputs, out, Progress())
    settings = ScoreSettings(real_views=20, kid_subsets=4)
    found = score_images(settings, images.path, out, Means())
    assert found["real"] == {"patch": 20, "full": 5}[presentation]
    assert found["synthetic"] == 6
    assert all(np.isfinite(value) for value in found.values())
    assert score_images(settings, images.path, out, Means()) == found
