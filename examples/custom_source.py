"""A source of synthetic images of one's own, in a file of one's own, through a whole run.

    python examples/custom_source.py    # as small as it gets: nothing is learnt well

Three things make a source: its settings, the work that draws its images, and the stage that does
the work. docs/extending.md adds one to the project itself, where all commands know it; one like
this is known to programs that import this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

import vesselforge as vf
from vesselforge.configs.sources import SourceSettings
from vesselforge.data.imageset import ImageRecord, write_index, write_mask, write_png
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.engine.artifacts import Inputs, Stage
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.sources import KINDS, Request, Source
from vesselforge.pipeline.stages import STAGES


class WavesSource(SourceSettings):
    """Dark waves on a light ground: `source: waves` in a config."""

    kind: Literal["waves"] = "waves"
    labels: Literal["own"] = "own"
    waves: int = Field(6, ge=1, description="in an image")


class Drawing(BaseModel):
    """What the stage is told: all that its images depend on."""

    count: int
    seed: int
    waves: int


class Waves(Source[WavesSource]):
    """What work makes the images number `first` to `first + count - 1`."""

    brings_masks = True

    def images(self, request: Request, count: int, first: int) -> Work:
        settings = Drawing(count=count, seed=first, waves=self.settings.waves)
        return Work("waves", "waves.draw", settings)


def draw(settings: Drawing, inputs: Inputs, out: Path, progress: Progress) -> None:
    """The stage: fill `out` with images, masks and index.json."""
    records = []
    row, column = np.mgrid[:64, :64]
    for seed in range(settings.seed, settings.seed + settings.count):
        rng = np.random.default_rng(seed)
        mask = np.zeros((64, 64), bool)
        for middle, phase in rng.uniform((0, 0), (64, 7), (settings.waves, 2)):
            mask |= abs(row - middle - 6 * np.sin(column / 9 + phase)) < rng.uniform(0.7, 2)
        ground = rng.integers((170, 90, 50), (200, 120, 70), (64, 64, 3), np.uint8)
        record = ImageRecord(str(seed), TRAIN, f"images/{seed}.png", f"masks/{seed}.png")
        write_png(out / record.image, np.where(mask[..., None], ground // 2, ground))
        write_mask(out / f"masks/{seed}.png", mask)
        records.append(record)
    write_index(out, "waves", records)


KINDS[WavesSource] = Waves
STAGES["waves.draw"] = Stage("waves.draw", 1, "custom_source:draw", Drawing)
for config in (vf.PipelineConfig, vf.StudyConfig):  # they were made before there were waves
    config.model_rebuild(force=True)

TINY = {"steps": 30, "batch": 4, "crop": 32, "validate_every": 15}


def main(overrides: Mapping[str, Any] | None = None) -> vf.RunResult:
    config = {
        "name": "custom-source",
        "data": {"phantom": {"train": 4, "validation": 2, "test": 2, "size": 64}},
        "source": {"kind": "waves", "waves": 8},
        "sample": {"count": 8},
        "order": "mixed",
        "teacher": TINY,
        "score": {"real_views": 8, "kid_subset_size": 4},
    }
    result = vf.run(config, overrides=overrides)
    print(f"F1: { {name: scores['f1'] for name, scores in result.scores.items()} }")
    print(f"report: {result.report}")
    return result


if __name__ == "__main__":
    import custom_source  # by its name, as the processes that do the work import it

    custom_source.main()
