"""torch.compile of the main losses: the same losses and gradients; no compiler, a clear message."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from generator_helpers import assert_close, load_pair, tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.generator.training import compiling, losses
from vesselforge.generator.training.losses import AdversarialLoss

NET, PAIR = "net_architectures16", "skip_resnet/"


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def played(**options):
    """Both main losses and R1 of the same game, with all their gradients."""
    g, d = load_pair(NET, PAIR)
    loss = AdversarialLoss(g.train(), d.train(), noise_mode="random", **options)
    z, real = (tensor(NET, f"{PAIR}in/{name}").float()[:2] for name in ("z", "D_img"))
    stats = {}
    for phase in (
        lambda: loss.generator_main(z, seed=1),
        lambda: loss.discriminator_main(real, z, seed=2),
        lambda: loss.discriminator_regularise(real, seed=3),
    ):
        stats |= phase()
    found = [p.grad for network in (g, d) for p in network.parameters() if p.grad is not None]
    return stats, found


def test_compiled_losses_equal_eager_ones(monkeypatch):
    """The backend that traces forward and backward, as the default one does, but runs the graphs
    without a compiler; it refuses double backward as well, so R1 shows that penalties stay out."""
    exact, gradients = played()
    traced = []

    def compiled(network):
        traced.append(network)
        return compiling.compiled(network, backend="aot_eager")

    monkeypatch.setattr(losses, "compiled", compiled)
    stats, found = played(compile=True)
    assert len(traced) == 2
    for name, values in exact.items():
        assert_close(stats[name], values, 1e-4)
    for a, b in zip(found, gradients, strict=True):
        assert_close(a, b, 1e-4)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler: no g++")
def test_the_default_backend_runs():
    layer = torch.nn.Conv2d(2, 2, 1)
    x = torch.randn(1, 2, 4, 4)
    assert_close(compiling.compiled(layer)(x), layer(x), 1e-5)


def test_no_compiler_is_a_clear_error(tmp_path):
    """In a process without a compiler on its path and with an empty cache."""
    code = (
        "import torch\n"
        "from vesselforge.configs.errors import ConfigError\n"
        "from vesselforge.generator.training.compiling import compiled\n"
        "try:\n"
        "    compiled(torch.nn.Linear(1, 1))\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    environment = {
        "PATH": str(tmp_path), "CXX": "absent-compiler", "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path),
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "needs a C++ compiler" in run.stdout, run.stdout + run.stderr
    assert "generator.compile: false" in run.stdout


def test_an_unknown_backend_is_named():
    with pytest.raises(ConfigError, match=r"'fast' is not one of .*inductor"):
        compiling.compiled(torch.nn.Linear(1, 1), backend="fast")
