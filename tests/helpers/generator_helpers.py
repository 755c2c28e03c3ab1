"""Reading the parity files: arrays computed once by the published network code on a CPU."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.data.imageset import ImageRecord, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.artifacts import SCRATCH, Artifact
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Progress
from vesselforge.generator.networks import Discriminator, Generator

PARITY = Path(__file__).parents[1] / "generator" / "parity"


@cache
def parity(name: str) -> dict[str, np.ndarray]:
    """Return every array of one parity file."""
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def described(name: str, key: str) -> Any:
    """Return a JSON value stored in a parity file."""
    return json.loads(str(parity(name)[key]))


def tensor(name: str, key: str) -> Tensor:
    """Return one array as a tensor that may be changed freely."""
    return torch.from_numpy(parity(name)[key].copy())


def error(result: Tensor | np.ndarray, reference: Tensor | np.ndarray) -> float:
    """Return the largest difference relative to the largest reference value."""
    a = torch.as_tensor(result).detach().double()
    b = torch.as_tensor(reference).double()
    assert a.shape == b.shape, f"{tuple(a.shape)} is not {tuple(b.shape)}"
    scale = b.abs().max().item() or 1.0
    return (a - b).abs().max().item() / scale


def assert_close(result: Any, reference: Any, tolerance: float) -> None:
    """Fail unless the relative error (see `error`) is within the tolerance."""
    found = error(torch.as_tensor(result), torch.as_tensor(reference))
    assert found <= tolerance, f"relative error {found:.2e} exceeds {tolerance:.0e}"


def load_network(name: str, kind: str, prefix: str = "") -> nn.Module:
    """Build `kind` ("G" or "D") as a parity file describes it and load its weights strictly."""
    network = {"G": Generator, "D": Discriminator}[kind](
        **described(name, f"{prefix}{kind}_init_kwargs_json")
    )
    start = f"{prefix}{kind}/"
    state = {
        key.removeprefix(start): tensor(name, key) for key in parity(name) if key.startswith(start)
    }
    network.load_state_dict(state, strict=True)
    return network.eval()


def load_pair(name: str = "net_a_uncond32", prefix: str = "") -> tuple[Generator, Discriminator]:
    """Return generator and discriminator of a parity file."""
    g, d = load_network(name, "G", prefix), load_network(name, "D", prefix)
    assert isinstance(g, Generator)
    assert isinstance(d, Discriminator)
    return g, d


# Small stages.


def write_image_set(folder: Path, count: int = 5, side: int = 40) -> Artifact:
    """Write `count` random images with a round field of view, one more for validation."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    fov = ((x**2 + y**2 < (side / 2) ** 2) * 255).astype(np.uint8)
    write_png(folder / "fov.png", fov)
    records = []
    for i in range(count + 1):
        coarse = rng.integers(0, 256, [4, 4, 3], dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        write_png(folder / f"{i}.png", np.where(fov[..., None] > 0, pixels, 0).astype(np.uint8))
        split = TRAIN if i < count else VALIDATION
        records.append(ImageRecord(f"image{i}", split, f"{i}.png", fov="fov.png"))
    write_index(folder, "test", records)
    return as_artifact(folder)


def as_artifact(folder: Path, kind: str = "data.prepare") -> Artifact:
    """Treat a folder as a finished artifact."""
    return Artifact(folder, {"kind": kind, "digest": folder.name, "metrics": {}})


def tiny(steps: int = 6, **changes: Any) -> GeneratorSettings:
    """Return settings of a training that takes milliseconds a step."""
    values: dict[str, Any] = {
        "resolution": 16, "channel_base": 128, "channel_max": 8, "latent": 8, "mapping_layers": 1,
        "batch": 4, "kimg": steps * 0.004, "r1_every": 3,
        "snapshot_kimg": 0.016, "snapshot_images": 8,
        "checkpoint_every": 2, "augment_p": 0.3, "device": "cpu",
    }  # fmt: skip
    return GeneratorSettings(**{**values, **changes})


def content(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a finished stage."""
    files = (p for p in folder.rglob("*") if p.is_file() and SCRATCH not in p.parts)
    return {str(p.relative_to(folder)): file_sha256(p) for p in files}


class StopAfter(Progress):
    """Asks to stop at the n-th look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.lines: list[str] = []

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks <= 0

    def message(self, text: str) -> None:
        self.lines.append(text)
