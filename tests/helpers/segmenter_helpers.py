"""Tiny image sets and models for the tests of the segmenters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesselforge.configs.settings import AugmentSettings, FitSettings
from vesselforge.data.imageset import ImageRecord, load_image, read_index, write_index, write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.model_files import Member, read_description
from vesselforge.segmenter.training.fit import train

TINY = FitSettings(
    steps=6, batch=2, crop=32, validate_every=3, checkpoint_every=1, ema=0.9, warmup=2
)
PLAIN = AugmentSettings(
    flip=False, rotate_deg=0, zoom=(1, 1), brightness=0, contrast=0, saturation=0, gamma=0, noise=0
)


class StopAfter(Progress):
    """Asks for a stop before the step after `step`."""

    def __init__(self, step: int) -> None:
        self.last = step
        self.seen = 0

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        self.seen += 1
        return self.seen > self.last


def phantom_set(folder: Path, splits: dict[str, int], size: int = 64, masks: bool = True) -> Path:
    """An image set of phantoms: split name → number of images."""
    records = []
    for split, count in splits.items():
        for _ in range(count):
            name = f"{len(records):02d}"
            phantom = make_phantom(len(records), size)
            write_png(folder / f"images/{name}.png", phantom.image)
            write_png(folder / f"fov/{name}.png", phantom.fov.astype(np.uint8) * 255)
            write_png(folder / f"masks/{name}.png", phantom.mask.astype(np.uint8) * 255)
            records.append(
                ImageRecord(
                    id=name,
                    split=split,
                    image=f"images/{name}.png",
                    fov=f"fov/{name}.png",
                    mask=f"masks/{name}.png" if masks else None,
                    observers={"2nd": f"masks/{name}.png"} if masks else {},
                )
            )
    write_index(folder, "tiny", records)
    return folder


def pseudo_labelled(folder: Path) -> Path:
    """The same set with soft labels and weights."""
    rng = np.random.default_rng(0)
    records = []
    for record in read_index(folder):
        mask = load_image(folder, record).target > 127
        soft, weight = f"soft/{record.id}.png", f"weights/{record.id}.png"
        write_png(folder / soft, np.where(mask, 230, 20).astype(np.uint8))
        write_png(folder / weight, rng.integers(0, 256, mask.shape, np.uint8))
        records.append(replace(record, soft=soft, weight=weight))
    write_index(folder, "made", records)
    return folder


def artifact(folder: Path) -> Artifact:
    """A folder as an input of a stage."""
    return Artifact(folder, {"kind": "test", "digest": "0" * 24, "metrics": {}})


def trained(out: Path, images: Path, settings: FitSettings = TINY) -> Path:
    """A model folder trained for a few steps."""
    out.mkdir(parents=True)
    train(settings, {"images": artifact(images)}, out, Progress())
    return out


def members_of(folder: Path) -> list[tuple[Member, dict[str, Tensor]]]:
    """The members of a model folder with their weights."""
    return [(m, load_tensors(folder / m.file)[0]) for m in read_description(folder).members]


def hashes(folder: Path, drop: str = "checkpoint") -> dict[str, str]:
    """Relative name → SHA-256 of every finished file."""
    files = (p for p in folder.rglob("*") if p.is_file() and drop not in p.parts)
    return {str(p.relative_to(folder)): file_sha256(p) for p in sorted(files)}


@cache
def phantom_image(seed: int, size: int) -> NDArray[np.uint8]:
    """The picture of a phantom, [size, size, 3]."""
    return make_phantom(seed, size).image


def settled(network: nn.Module) -> nn.Module:
    """The network in evaluation, with made-up BatchNorm statistics and gains as of training."""
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=draw)
            module.running_var.uniform_(0.2, 0.6, generator=draw)
    return network.eval().requires_grad_(False)
