"""Path length: the published arithmetic, the step it takes, and which distance it is called by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import load_pair, parity
from torch import nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.metrics import path as module
from vesselforge.generator.metrics.path import load_lpips, path_distances, trimmed_mean
from vesselforge.generator.sampling.sampler import latents_of, noise_of

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")


def test_trimmed_mean_is_the_published_one():
    found = trimmed_mean(parity("metrics_formulas")["ppl_dists"])
    assert found == pytest.approx(float(parity("metrics_formulas")["ppl_trimmed_mean"]), rel=1e-6)
    assert trimmed_mean([*[1.0] * 98, 1e9, -1e9, 1.0]) == 1, "outliers do not count"


def test_distances_against_the_definition():
    """w(0) and w(ε) of two mapped latents, one noise, 0 … 255, squared distance over ε²."""
    generator, _ = load_pair()
    found = path_distances(generator, lambda images: images.flatten(1), 2, seed=5)
    for pair in range(2):
        seeds = [5 + 2 * pair, 6 + 2 * pair]
        a, b = generator.mapping(latents_of(seeds, generator.z_dim), None)
        ends = [
            generator.synthesis(w[None], noise_mode="random", randn=noise_of([seeds[0]]))
            for w in (a, a + 1e-4 * (b - a))
        ]
        distance = (ends[0] - ends[1]).detach().double().mul(127.5).square().sum()
        # Differences of 1e-4 between float32 images: the last digits are noise.
        assert found[pair] == pytest.approx(float(distance) / 1e-8, rel=2e-2)
    assert np.array_equal(path_distances(generator, lambda x: x.flatten(1), 2, seed=5), found)


def test_large_images_are_averaged_down(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 16)
    sides = []

    def embed(images):
        sides.append(images.shape[1:])
        return images.flatten(1)

    generator, _ = load_pair()
    path_distances(generator, embed, 1, seed=0)
    assert sides == [(3, 16, 16)] * 2


class FakeLpips(nn.Module):
    def forward(
        self, images: torch.Tensor, resize_images: bool = True, return_lpips: bool = False
    ) -> torch.Tensor:
        assert return_lpips
        assert not resize_images
        return images.mean(dim=[2, 3]) / 255


def test_lpips_file(tmp_path):
    torch.jit.script(FakeLpips()).save(tmp_path / "vgg16.pt")
    embed = load_lpips(tmp_path / "vgg16.pt")
    assert torch.allclose(embed(torch.full((2, 3, 8, 8), 51.0)), torch.full((2, 3), 0.2))
    torch.jit.script(nn.Identity()).save(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("other.pt", "text.pt"):
        with pytest.raises(CheckpointError, match=r"cannot be used .* vgg16\.pt"):
            load_lpips(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such file"):
        load_lpips(tmp_path / "absent.pt")
