"""Stages with a known truth: phantom images in the place of a generator's, with labels that are
exact, or of other images. Everything else of a study is as it always is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vesselforge.configs.errors import TrainingError
from vesselforge.configs.settings import (
    DataSettings,
    GeneratorSettings,
    PhantomSettings,
    PrepareSettings,
    PseudoLabelSettings,
    SampleSettings,
    ScoreSettings,
)
from vesselforge.data.imageset import read_index, write_index
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.prepare import prepare
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import link_file, write_json
from vesselforge.engine.progress import Progress

SIZE = 64


def no_generator(settings: GeneratorSettings, inputs: Inputs, out: Path, _: Progress) -> None:
    """Nothing to train."""
    write_json(out / "generator.json", {})


def perfect(settings: SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """`count` phantoms that no other set holds, masks and all."""
    phantom = PhantomSettings(
        train=settings.count, validation=1, test=0, size=SIZE, seed=10_000 + settings.seed
    )
    part = PrepareSettings(data=DataSettings(phantom=phantom), part="development")
    prepare(part, {}, out, progress)
    records = read_index(out, TRAIN)
    write_index(out, "planted", [replace(r, id=f"p{settings.seed}-{r.id}") for r in records])


def exact(settings: PseudoLabelSettings, inputs: Inputs, out: Path, _: Progress) -> None:
    """Each image with its own mask."""
    _label(inputs["samples"].path, out, shift=0)


def shuffled(settings: PseudoLabelSettings, inputs: Inputs, out: Path, _: Progress) -> None:
    """Each image with the mask of the next one."""
    _label(inputs["samples"].path, out, shift=1)


def _label(samples: Path, out: Path, shift: int) -> None:
    records = read_index(samples)
    masks = np.roll([r.mask for r in records], shift)
    labelled = []
    for record, mask in zip(records, masks, strict=True):
        assert record.fov is not None
        files = {"image": record.image, "mask": str(mask), "fov": record.fov}
        for role, name in files.items():
            link_file(samples / name, out / f"{role}s" / f"{record.id}.png")
        named: dict[str, Any] = {role: f"{role}s/{record.id}.png" for role in files}
        labelled.append(replace(record, observers={}, **named))
    write_index(out, "planted", labelled)
    write_json(out / METRICS, {"kept": len(records), "rejected": 0, "reasons": {}})


def no_scores(settings: ScoreSettings, inputs: Inputs, out: Path, _: Progress) -> None:
    """Perfect phantoms need none."""
    write_json(out / METRICS, {"kid_mean": 0.0})


def broken(settings: GeneratorSettings, inputs: Inputs, out: Path, _: Progress) -> None:
    """A training that does not go well."""
    raise TrainingError("generator.train: the loss is nan at step 7")


def stingy(settings: PseudoLabelSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Exact labels, of which only the first is kept."""
    exact(settings, inputs, out, progress)
    records = read_index(out)
    write_index(out, "planted", [records[0], *(replace(r, split="rejected") for r in records[1:])])
    rejected = len(records) - 1
    write_json(out / METRICS, {"kept": 1, "rejected": rejected, "reasons": {"mood": rejected}})
