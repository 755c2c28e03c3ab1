"""The speed measurements run, and measure the same networks in every way."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import cases, generator
from benchmarks.reference import plain_definitions
from vesselforge.generator.networks import Discriminator, Generator

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("architectures", [("skip", "resnet"), ("resnet", "skip")])
@pytest.mark.parametrize("learning", [True, False])
def test_the_yardstick_computes_the_same(architectures, learning):
    torch.manual_seed(0)
    options = {"channel_base": 128, "channel_max": 16}
    g = Generator(
        8, 0, 8, 16, 3, {"num_layers": 1}, {"architecture": architectures[0], **options}
    ).requires_grad_(False)
    d = Discriminator(0, 16, 3, architecture=architectures[1], **options).requires_grad_(False)
    z = torch.randn(4, 8)
    image = g(z, noise_mode="const")
    logits = d(image)
    with plain_definitions(), torch.set_grad_enabled(learning):
        plain = g(z, noise_mode="const")
        assert plain.is_contiguous()
        torch.testing.assert_close(plain, image, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(d(plain), logits, rtol=1e-4, atol=1e-4)


def test_a_quick_run(tmp_path, capsys, monkeypatch):
    """Cases run in this process here: starting PyTorch anew for each takes seconds."""

    def measure(spec):
        spec = dict(spec)
        case, clock = spec.pop("case"), cases.Clock(spec.pop("device"), spec.pop("seconds"))
        return {"memory": 1.0} | cases.CASES[case](clock, **spec)

    monkeypatch.setattr(generator, "measure", measure)
    file = tmp_path / "speed.json"
    generator.main(["--quick", "--seconds", "0", "--json", str(file)])
    found = json.loads(file.read_text())
    ways = [(row["title"], row["way"]) for row in found["rows"]]
    expected = [cases.REFERENCE, cases.FLOAT32, cases.BFLOAT16]
    assert ways == [(t, w) for t in ("sampling 16²", "training 16²") for w in expected]
    printed = capsys.readouterr().out
    assert all(title in printed for title, _ in ways)
    training = found["rows"][-1]
    lazy = training["path"] / 4 + training["r1"] / 16
    both = training["generator"] + training["discriminator"] + training["average"]
    assert training["iteration"] == pytest.approx(both + lazy)


def test_arithmetic_is_counted():
    with cases.Arithmetic() as counter:
        torch.nn.functional.conv2d(torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3), padding=1)
        torch.ones(5, 6) @ torch.ones(6, 7)
    assert counter.gflop == pytest.approx(2 * (4 * 4 * 3 * 2 * 9 + 5 * 6 * 7) / 1e9)


def test_the_accelerators_plan_needs_none_to_be_made():
    plan = list(generator.plan("cuda", quick=False))
    for case in plan:
        spec = dict(case.spec)
        if spec.pop("case") == "training":
            settings = cases.settings_of(spec.pop("way"), "cuda", **spec)
            assert settings.precision == case.way
    assert {case.spec["resolution"] for case in plan} == {64, 128, 256, 512}
