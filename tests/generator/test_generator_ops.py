"""Every primitive operation against numbers of the published code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generator_helpers import assert_close, described, parity, tensor

from vesselforge.generator.networks import fir, ops
from vesselforge.generator.networks.layers import FullyConnectedLayer

pytestmark = pytest.mark.slow


def filter2d(x, f, padding=(0, 0)):
    """Filter without changing the size; `padding` (x, y) adds output pixels."""
    sides = zip(fir.sides_of(f), np.repeat(padding, 2).tolist(), strict=True)
    return fir.upfirdn2d(x, f, padding=[a + b for a, b in sides])


FIR = {
    "upfirdn2d": fir.upfirdn2d,
    "filter2d": filter2d,
    "upsample2d": fir.upsample2d,
    "downsample2d": fir.downsample2d,
}


def cases(group: str) -> list[dict]:
    return list(enumerate(described("ops", f"{group}/cases_json")))


@pytest.mark.parametrize(("i", "case"), cases("upfirdn"))
def test_fir_resampling(i, case):
    name, kwargs = case["filter"], dict(case["kwargs"])
    f = fir.setup_filter(None) if name is None else tensor("ops", f"upfirdn/f_{name}")
    if kwargs.pop("flip_filter", False):
        f = f.flip(list(range(f.ndim)))
    y = FIR[case["function"]](tensor("ops", "upfirdn/x"), f, **kwargs)
    assert_close(y, tensor("ops", f"upfirdn/y{i:02d}"), 1e-6)


def test_filter_setup():
    assert_close(fir.setup_filter([1, 3, 3, 1]), tensor("ops", "upfirdn/f_lin4"), 1e-6)
    assert_close(fir.setup_filter([1, 3, 3, 1]) * 4, tensor("ops", "upfirdn/f_lin4_gain4"), 1e-6)
    rows = tensor("ops", "upfirdn/f_sep4")
    assert_close(fir.setup_filter([1, 3, 3, 1]), torch.outer(rows, rows), 1e-6)
    flipped = fir.setup_filter(tensor("ops", "upfirdn/f_asym2d")).flip([0, 1])
    assert_close(flipped, tensor("ops", "upfirdn/f_asym2d_flip"), 1e-6)
    assert fir.setup_filter(range(1, 9)).ndim == 1
    assert fir.setup_filter(None).shape == (1, 1)


@pytest.mark.parametrize(("i", "case"), cases("bias_act"))
def test_bias_and_activation(i, case, monkeypatch):
    act = case["act"]
    function, alpha, gain = ops.ACTIVATIONS[act]
    monkeypatch.setitem(ops.ACTIVATIONS, act, (function, case.get("alpha", alpha), gain))
    x = tensor("ops", "bias_act/x")
    if case.get("bias", True):
        x = x + tensor("ops", "bias_act/b").reshape([-1] + [1] * (x.ndim - 2))
    y = ops.activate(x, act, case.get("gain", gain), case.get("clamp"))
    assert_close(y, tensor("ops", f"bias_act/y{i:02d}"), 1e-6)


def test_activation_defaults():
    for name, (alpha, gain) in described("ops", "bias_act/default_alpha_gain_json").items():
        assert ops.ACTIVATIONS[name][1:] == (alpha, pytest.approx(gain))


@pytest.mark.parametrize(("i", "case"), cases("conv"))
def test_resampling_convolution(i, case):
    y = ops.conv2d_resample(
        tensor("ops", "conv/x"),
        tensor("ops", f"conv/w{i:02d}"),
        fir.setup_filter([1, 3, 3, 1]),
        **{key: case[key] for key in ("up", "down", "padding", "flip_weight")},
    )
    assert_close(y, tensor("ops", f"conv/y{i:02d}"), 1e-6)


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 4, 6, 4, 1], None])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("up", "down"), [(2, 1), (1, 2), (3, 1), (1, 3), (2, 2)])
def test_resampling_convolution_equals_its_definition(taps, kernel, up, down):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 12, dtype=torch.float64)
    w = torch.randn(6, 2, kernel, kernel, dtype=torch.float64)
    f = fir.setup_filter(taps).double()
    t, p = f.shape[0], kernel // 2
    p0 = p + ((t + up - 1) // 2 if up > 1 else 0) + ((t - down + 1) // 2 if down > 1 else 0)
    p1 = p + ((t - up) // 2 if up > 1 else 0) + ((t - down) // 2 if down > 1 else 0)
    y = F.pad(x, [p0, p1, p0, p1])
    if up > 1:
        y = fir.upfirdn2d(x, f, up=up, padding=[p0, p1, p0, p1], gain=up * up)
    y = F.conv2d(y, w, groups=2)
    y = fir.upfirdn2d(y, f, down=down) if down > 1 else y
    got = ops.conv2d_resample(x, w, f, up=up, down=down, padding=p, groups=2)
    assert_close(got, y, 1e-12)


@pytest.mark.parametrize(("i", "case"), cases("mod"))
def test_modulated_convolution(i, case):
    case = dict(case)
    weight, noise = case.pop("weight"), case.pop("noise")
    del case["filter"]
    y = ops.modulated_conv2d(
        tensor("ops", "mod/x"),
        tensor("ops", f"mod/{weight}"),
        tensor("ops", "mod/styles"),
        noise=None if noise is None else tensor("ops", f"mod/{noise}"),
        resample_filter=fir.setup_filter([1, 3, 3, 1]),
        **case,
    )
    assert_close(y, tensor("ops", f"mod/y{i:02d}"), 1e-6)


@pytest.mark.parametrize(("i", "case"), cases("mbstd"))
def test_minibatch_std(i, case):
    x = tensor("ops", "mbstd/x")[: case["batch"]]
    y = ops.minibatch_std(x, case["group_size"], case["num_channels"])
    assert torch.equal(y[:, :6], x)
    assert_close(y[:, 6:, 0, 0], tensor("ops", f"mbstd/y{i:02d}"), 1e-6)
    assert torch.equal(y[:, 6:, 3, 2], y[:, 6:, 0, 0])


def test_minibatch_std_names_an_impossible_group():
    with pytest.raises(ValueError, match=r"batch of 6 .* groups of 4"):
        ops.minibatch_std(torch.zeros(6, 2, 4, 4), 4, 1)


def test_second_moment_and_fully_connected():
    x = tensor("ops", "norm2/x")
    assert_close(ops.normalize_2nd_moment(x), tensor("ops", "norm2/y"), 1e-6)
    for i, case in cases("fc"):
        layer = FullyConnectedLayer(5, 4, **case)
        layer.load_state_dict(
            {"weight": tensor("ops", f"fc/w{i}"), "bias": tensor("ops", f"fc/b{i}")}
        )
        assert_close(layer(tensor("ops", "norm2/x")), parity("ops")[f"fc/y{i}"], 1e-6)


def test_bilinear_upsampling_is_the_binomial_filter():
    x = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    general = fir.upsample2d(x, fir.setup_filter([1, 3, 3, 1]).double())
    assert_close(fir.upsample_binomial(x), general, 1e-12)


@pytest.mark.parametrize(("up", "down", "k"), [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 1)])
def test_second_derivatives(up, down, k):
    torch.manual_seed(1)
    f = fir.setup_filter([1, 3, 3, 1]).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 2, k, k, dtype=torch.float64, requires_grad=True)
    s = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    def layer(x, w, s):
        y = ops.modulated_conv2d(
            x, w, s, up=up, down=down, padding=k // 2, resample_filter=f, flip_weight=up == 1
        )
        return ops.activate(y, "lrelu", gain=ops.SQRT2, clamp=5.0)

    assert torch.autograd.gradgradcheck(layer, (x, w, s))
