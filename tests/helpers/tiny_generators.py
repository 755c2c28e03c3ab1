"""Generators of two steps, in a workspace and published, for the tests of those with a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.models.publish_generator import publish
from vesselforge.pipeline.run.run_works import run_works
from vesselforge.pipeline.stages import STAGES

TINY: dict[str, Any] = {
    "channels": "rgb+mask", "resolution": 16, "channel_base": 128, "channel_max": 8, "latent": 8,
    "mapping_layers": 1, "batch": 4, "kimg": 0.008, "snapshot_kimg": 0.008,
    "snapshot_images": 8, "device": "cpu",
}  # fmt: skip
DATA: dict[str, Any] = {
    "name": "phantom",
    "phantom": {"train": 2, "validation": 1, "size": 64, "seed": 3},
}
NAME = "tiny-joint"


def config(phantoms: int = 3, **changes: Any) -> PipelineConfig:
    """phantoms: the seed of the training images."""
    data = DATA | {"phantom": DATA["phantom"] | {"seed": phantoms}}
    values = {"name": "tiny", "data": data, "generator": TINY | changes}
    return PipelineConfig.model_validate(values)


def make(workspace: Path, work: Work) -> Artifact:
    """Do a piece of work and what it needs, in this process."""
    store, done = Store(workspace).open(), dict[str, Artifact]()
    for digest, each in closure([work]).items():
        inputs = {name: done[needed.digest] for name, needed in each.inputs.items()}
        stage = STAGES[each.kind]
        done[digest] = store.produce(stage, each.settings, inputs, Progress(), each.outside)
    return done[work.digest]


@dataclass(frozen=True)
class Made:
    """A workspace with images and a generator of two steps; the folder that it is published to."""

    workspace: Path
    images: Artifact
    trained: Artifact
    published: Path

    def train(self, phantoms: int = 3, **changes: Any) -> Artifact:
        return make(self.workspace, run_works(config(phantoms, **changes)).until("generator"))


def made_in(root: Path) -> Made:
    """All of it, new."""
    works = run_works(config())
    images, trained = (make(root, works.until(last)) for last in ("development", "generator"))
    figures = root / "figures.json"
    write_json(figures, {"F1 on DRIVE, 4 images": {"real": 0.7912345, "both": 0.8, "seeds": 6}})
    return Made(root, images, trained, publish(trained.path, NAME, root / "shelf", figures))


def change_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    edit(content)
    write_json(folder / "manifest.json", content)
