"""The augmentation pipe against numbers of the published code; the controller of its strength."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from generator_helpers import assert_close, parity, tensor

from vesselforge.generator.augment import AUGMENT_PRESETS, AugmentPipe
from vesselforge.generator.augment.pixels import filter_bank, resample
from vesselforge.generator.training.step_counts import adjust_p

pytestmark = pytest.mark.slow

TOLERANCE = {"color": 1e-6, "filter": 1e-6, "noise": 1e-6, "cutout": 1e-6}  # geometry: 2e-5


def fixtures():
    found = []
    for key in parity("augment"):
        parts = key.split("/")
        if parts[0] == "out" and parts[1] in AUGMENT_PRESETS:
            found.append((key, parts[1], parts[2], int(parts[3][1:]) / 100))
    return found


def normal_at(q):
    """The published debug value of normal draws (without √2)."""
    return float(torch.erfinv(torch.tensor(q * 2 - 1)))


class AtPercentile(AugmentPipe):
    """Every draw is its q-th quantile, as in the published code's debug mode."""

    def __init__(self, transforms, q=0.9, **options):
        super().__init__(transforms, **options)
        self.q = q
        self.angles = 0

    def _rand(self, *shape):
        return torch.full(shape, self.q)

    def _randn(self, *shape):
        half_normal = len(shape) == 4  # the noise's strength
        return torch.full(shape, normal_at((self.q + 1) / 2 if half_normal else self.q))

    def _angle(self, p, n):
        self.angles += 1
        second_turn = self.angles == 2 and "rotate" in self.on  # is none there
        return super()._angle(p, n) * (not second_turn)


@pytest.mark.parametrize(("key", "preset", "image", "q"), fixtures())
def test_groups_at_fixed_percentiles(key, preset, image, q, monkeypatch):
    x = tensor("augment", f"in/{image}")
    if preset == "noise":
        pixels, plain = tensor("augment", f"in/noise_randn_{image}"), torch.randn
        monkeypatch.setattr(
            torch, "randn", lambda s, **k: pixels if list(s) == list(x.shape) else plain(s, **k)
        )
    y = AtPercentile(AUGMENT_PRESETS[preset], q)(x)
    assert_close(y, tensor("augment", key), TOLERANCE.get(preset, 2e-5))


@pytest.mark.parametrize(
    "name", [k.split("/")[2] for k in parity("augment") if k.startswith("out/single/")]
)
def test_single_transforms(name):
    y = AtPercentile([name])(tensor("augment", "in/32")[:1])
    assert_close(y, tensor("augment", f"out/single/{name}/32/p90"), 2e-5)


@pytest.mark.parametrize("band", range(4))
def test_single_frequency_bands(band):
    pipe = AtPercentile(["imgfilter"], imgfilter_bands=tuple(float(i == band) for i in range(4)))
    y = pipe(tensor("augment", "in/32")[:1])
    assert_close(y, tensor("augment", f"out/filter_band{band}/32/p90"), 1e-6)


def test_buffers():
    pipe = AugmentPipe()
    assert set(pipe.state_dict()) == {"p", "Hz_geom", "Hz_fbank"}
    assert_close(pipe.Hz_geom, tensor("augment", "buf/Hz_geom"), 1e-6)
    assert_close(pipe.Hz_fbank, tensor("augment", "buf/Hz_fbank"), 1e-6)
    assert np.allclose(filter_bank().sum(0), np.eye(43)[21], atol=1e-9)


def test_gradient_through_the_pipe():
    x = tensor("augment", "in/32").requires_grad_(True)
    y = AtPercentile(AUGMENT_PRESETS["bgc"])(x)
    (y * tensor("augment", "grad/weight")).sum().backward()
    assert_close(x.grad, tensor("augment", "grad/dx_bgc_p90"), 1e-4)


@pytest.mark.parametrize("run", ["bgc_p0.6_seed0", "bgcfnc_p0.8_seed1", "bgc_p0.0_seed0"])
def test_random_draws_come_in_the_published_order(run):
    preset, p, seed = run.split("_")
    pipe = AugmentPipe(AUGMENT_PRESETS[preset])
    pipe.p.fill_(float(p[1:]))
    torch.manual_seed(int(seed[4:]))
    y = pipe(tensor("augment_random", "in/32"))
    assert_close(y, tensor("augment_random", f"{run}/out"), 2e-5)


def test_second_derivative_through_geometry():
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    angle = torch.tensor([0.3, 1.1])
    c, s, o = angle.cos(), angle.sin(), torch.zeros(2)
    turn = torch.stack([c, -s, o, s, c, o, o, o, o + 1], dim=1).reshape(2, 3, 3)
    low_pass = AugmentPipe().Hz_geom.double()
    assert torch.autograd.gradgradcheck(lambda t: resample(t**3, turn, low_pass), (x,))


def test_channels():
    torch.manual_seed(0)
    pipe = AugmentPipe(AUGMENT_PRESETS["color"])
    rgba = torch.randn(2, 4, 8, 8)
    assert torch.equal(pipe(rgba)[:, 3], rgba[:, 3])
    grey = torch.randn(2, 2, 8, 8)
    torch.manual_seed(1)
    both = pipe(grey)
    torch.manual_seed(1)
    assert torch.equal(both[:, :1], pipe(grey[:, :1]))
    assert not torch.equal(both[:, 0], grey[:, 0])
    assert torch.equal(both[:, 1], grey[:, 1])


@pytest.mark.parametrize("run", ["scratch", "resume"])
def test_controller(run):
    batch, interval, kimg, target = parity("losses")[f"ada/{run}_batch_interval_kimg_target"]
    p, found = 0.0, []
    for r_t in parity("losses")[f"ada/{run}_rt"]:
        p = adjust_p(p, r_t, target, batch * interval, kimg, p_max=math.inf)
        found.append(p)
    assert np.allclose(found, parity("losses")[f"ada/{run}_p"], atol=1e-5)


def test_p_rises_when_the_discriminator_wins_and_stops_at_the_ceiling():
    p = 0.0
    for _ in range(100):
        rising = adjust_p(p, 0.9, 0.6, images=1000, ada_kimg=50, p_max=0.8)
        assert rising > p or rising == 0.8
        p = rising
    assert p == 0.8
    assert adjust_p(p, 0.2, 0.6, images=1000, ada_kimg=50) < p
    assert adjust_p(0.0, -1.0, 0.6, images=32, ada_kimg=500) == 0.0
