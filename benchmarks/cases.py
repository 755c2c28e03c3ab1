"""What is measured. Every case runs in a process of its own: `python -m benchmarks.cases JSON`."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.reference import plain_definitions
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.checkpoints import newest_checkpoint, save_checkpoint
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.trained import network_kwargs
from vesselforge.generator.training.step_counts import PATH_EVERY
from vesselforge.generator.training.train import TICKS
from vesselforge.generator.training.trainer import Trainer

Result = dict[str, float]
REFERENCE, FLOAT32, BFLOAT16 = "reference", "float32", "bfloat16"
"""Ways of computing: the plain definitions, ours."""


class Clock:
    """Times functions on one device, for about `seconds` each."""

    def __init__(self, device: str, seconds: float) -> None:
        self.device = torch.device(device)
        self.seconds = seconds

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def best(self, function: Callable[[], object], warm_up: int = 2, repeats: int = 3) -> float:
        """Return the shortest of at least `repeats` runs: what the machine can do undisturbed."""
        for _ in range(warm_up):
            function()
        found: list[float] = []
        end = time.perf_counter() + self.seconds
        while len(found) < repeats or time.perf_counter() < end:
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            found.append(time.perf_counter() - start)
        return min(found)


class Arithmetic(TorchDispatchMode):
    """Counts the multiplications and additions of convolutions and matrix products.

    With PyTorch's formulas; its FlopCounterMode itself cannot stand `autograd.grad`.
    """

    gflop = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.gflop += formula(*args, **kwargs, out_val=result) / 1e9
        return result


def way_of(name: str) -> tuple[AbstractContextManager[None], torch.dtype | None]:
    """Return (context, dtype of features) of a way of computing."""
    plain = name == REFERENCE
    context: AbstractContextManager[None] = plain_definitions() if plain else nullcontext()
    dtype = torch.bfloat16 if name == BFLOAT16 else None
    return context, dtype


def peak(clock: Clock, channels: int = 256, side: int = 64) -> Result:
    """Return GFLOP/s of large convolutions and matrix products: the arithmetic ceiling."""
    found = {}
    for name, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
        x = torch.randn(8, channels, side, side, device=clock.device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        w = torch.randn(channels, channels, 3, 3, device=clock.device, dtype=dtype)
        seconds = clock.best(lambda x=x, w=w: F.conv2d(x, w, padding=1))  # type: ignore[misc]
        found[f"conv_{name}"] = 2 * 8 * channels**2 * 9 * side**2 / seconds / 1e9
        n = channels * 8
        a = torch.randn(n, n, device=clock.device, dtype=dtype)
        seconds = clock.best(lambda a=a: a @ a)  # type: ignore[misc]
        found[f"matmul_{name}"] = 2 * n**3 / seconds / 1e9
    return found


def sampling(
    clock: Clock, way: str, batch: int, resolution: int, channel_base: int, channel_max: int
) -> Result:
    """Return seconds per image and the arithmetic of one."""
    torch.manual_seed(0)
    options = {"channel_base": channel_base, "channel_max": channel_max}
    latent = channel_max
    g = Generator(latent, 0, latent, resolution, 3, {"num_layers": 8}, options)
    g = g.to(clock.device).eval().requires_grad_(False)
    z = torch.randn(batch, latent, device=clock.device)
    context, dtype = way_of(way)

    def make() -> Tensor:
        ws = g.mapping(z, truncation_psi=0.7)
        images: Tensor = g.synthesis(ws, noise_mode="const", dtype=dtype)
        return images

    with context, torch.inference_mode():
        seconds = clock.best(make) / batch
    with Arithmetic() as counter, torch.no_grad():
        g(z[:1], noise_mode="const")
    return {"seconds": seconds, "gflop": counter.gflop}


def settings_of(way: str, device: str, **values: Any) -> GeneratorSettings:
    """Return settings of a training whose augmentation is at work all the time."""
    _, dtype = way_of(way)
    return GeneratorSettings(
        **{"augment": "fixed", "augment_p": 0.5, "device": device, **values},
        precision="bfloat16" if dtype else "float32",
    )


def trainer_of(settings: GeneratorSettings, device: torch.device) -> Trainer:
    """Return a fresh training."""
    torch.manual_seed(0)
    kwargs_g, kwargs_d = network_kwargs(settings)
    g, d = Generator(**kwargs_g).to(device), Discriminator(**kwargs_d).to(device)
    return Trainer(settings, g, d)


def training(clock: Clock, way: str, count: bool = True, **values: Any) -> Result:
    """Return seconds of every phase, of an iteration with the lazy penalties amortised, and of
    what stands around it."""
    settings = settings_of(way, str(clock.device), **values)
    context, _ = way_of(way)
    with context:
        trainer = trainer_of(settings, clock.device)
        phases = _phases(trainer)
        found = {name: clock.best(phase, 1) for name, phase in phases.items()}
        found["augment"] = _augmentation(clock, trainer)
    lazy = {"path": 1 / PATH_EVERY, "r1": 1 / settings.r1_every}
    if not settings.path_length_weight:
        lazy["path"] = 0.0
    weights = {name: lazy.get(name, 1.0) for name in phases}
    found["iteration"] = sum(found[name] * weight for name, weight in weights.items())
    found["seconds_per_kimg"] = found["iteration"] * 1000 / settings.batch
    found |= _bookkeeping(clock, trainer, found["iteration"])
    found["memory"] = peak_memory(clock.device)  # before the networks that are counted
    if count:
        gflop = 0.0
        for name, phase in _phases(trainer_of(_eager(settings), clock.device)).items():
            with Arithmetic() as counter:
                phase()
            gflop += counter.gflop * weights[name]
        found["gflop"] = gflop
    return found


def _eager(settings: GeneratorSettings) -> GeneratorSettings:
    return settings.model_copy(update={"precision": "float32"})


def _phases(trainer: Trainer) -> dict[str, Callable[[], None]]:
    """Return everything that a step does, each with its optimiser's step."""
    cfg, loss = trainer.settings, trainer.loss
    shape = [cfg.batch, trainer.generator.img_channels, cfg.resolution, cfg.resolution]
    real = torch.rand(shape, device=trainer.device) * 2 - 1
    z = torch.randn(cfg.batch, cfg.latent, device=trainer.device)
    g, d, step = trainer.optimizer_g, trainer.optimizer_d, trainer._descend
    return {
        "generator": lambda: step(g, loss.generator_main(z)),
        "discriminator": lambda: step(d, loss.discriminator_main(real, z)),
        "path": lambda: step(g, loss.generator_regularise(z, gain=4.0)),
        "r1": lambda: step(d, loss.discriminator_regularise(real, gain=16.0)),
        "average": lambda: trainer._average(cfg.batch),
    }


def _augmentation(clock: Clock, trainer: Trainer) -> float:
    """Return the seconds of an iteration that go into augmentation: three calls, one of them
    differentiated (R1 differentiates twice, every 16th time)."""
    pipe, cfg = trainer.augment, trainer.settings
    assert pipe is not None
    channels = trainer.generator.img_channels
    images = torch.rand(cfg.batch, channels, cfg.resolution, cfg.resolution, device=trainer.device)

    def once(differentiate: bool) -> None:
        x = images.clone().requires_grad_(differentiate)
        y = pipe(x)
        if differentiate:
            y.sum().backward()

    return 2 * clock.best(lambda: once(False)) + clock.best(lambda: once(True))


def _bookkeeping(clock: Clock, trainer: Trainer, iteration: float) -> Result:
    """Return the seconds of a report, a checkpoint and a resumption, and the share of the first
    two in a tick."""
    cfg = trainer.settings
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def save() -> None:
            save_checkpoint(folder, 1, trainer.tensors(), trainer.state())

        def resume() -> None:
            found = newest_checkpoint(folder)
            assert found is not None
            trainer.restore(*found)

        report = clock.best(trainer.report)
        saving = clock.best(save, 1, 2)
        resuming = clock.best(resume, 1, 2)
    steps = cfg.snapshot_kimg / TICKS * 1000 / cfg.batch
    tick = report + saving * steps / cfg.checkpoint_every
    return {
        "report": report,
        "save": saving,
        "resume": resuming,
        "bookkeeping_share": tick / (tick + steps * iteration),
    }


def peak_memory(device: torch.device) -> float:
    """Return GiB, of the device or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


CASES: dict[str, Callable[..., Result]] = {
    "peak": peak,
    "sampling": sampling,
    "training": training,
}


def main(spec: str) -> None:
    """Measure one case and print its result as one line of JSON."""
    given = json.loads(spec)
    case, device, seconds = given.pop("case"), given.pop("device"), given.pop("seconds")
    clock = Clock(device, seconds)
    result = CASES[case](clock, **given)
    print(json.dumps({"memory": peak_memory(clock.device)} | result))


if __name__ == "__main__":
    main(sys.argv[1])
