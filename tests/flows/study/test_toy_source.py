"""A further source of synthetic images takes this file alone: settings, work, stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from vesselforge.configs.load import validate
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.sources import SOURCES, SourceSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.data.imageset import ImageRecord, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.engine.artifacts import Inputs, Stage
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.flows.compare import compare_ratios
from vesselforge.flows.run import augmentation_pipeline
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.sources import KINDS, Request, Source
from vesselforge.pipeline.stages import STAGES

pytestmark = pytest.mark.slow

Made = list[tuple[str, str]]
SIDE = 48


class ToySource(SourceSettings):
    """Dark stripes on a light ground."""

    kind: Literal["toy"] = "toy"
    labels: Literal["own"] = "own"
    period: int = 12


del SOURCES["toy"]  # known in the tests below alone


class Drawing(BaseModel):
    count: int
    seed: int
    period: int


class Toy(Source[ToySource]):
    brings_masks = True

    def images(self, request: Request, count: int, first: int) -> Work:
        settings = Drawing(count=count, seed=first, period=self.settings.period)
        return Work("stripes", "toy", settings)


def stripes(settings: Drawing, inputs: Inputs, out: Path, progress: Progress) -> None:
    records = []
    for seed in range(settings.seed, settings.seed + settings.count):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[:, seed % settings.period :: settings.period] = 255
        mask |= np.roll(mask, 1, axis=1)
        image = np.random.default_rng(seed).integers(150, 170, (SIDE, SIDE, 3), np.uint8)
        image[mask > 0] -= 90
        write_png(out / "images" / f"toy{seed}.png", image)
        write_png(out / "masks" / f"toy{seed}.png", mask)
        files = {"image": f"images/toy{seed}.png", "mask": f"masks/toy{seed}.png"}
        records.append(ImageRecord(f"toy{seed}", TRAIN, **files))
    write_index(out, "stripes", records)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(KINDS, ToySource, Toy)
    monkeypatch.setitem(STAGES, "toy", Stage("toy", 1, f"{__name__}:stripes", Drawing))
    with monkeypatch.context() as known:
        known.setitem(SOURCES, "toy", ToySource)
        rebuild()
        yield
    rebuild()


def rebuild() -> None:
    """Configs that were made before the source was known, or are to forget it."""
    for config in (PipelineConfig, StudyConfig):
        config.model_rebuild(force=True)


def test_a_new_source_goes_through_a_run(toy: None, here: Made, tmp_path: Path) -> None:
    fit = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
    values: dict[str, Any] = {
        "name": "toy",
        "data": {"phantom": {"train": 3, "validation": 2, "test": 2, "size": 64}},
        "source": "toy",
        "sample": {"count": 4},
        "order": "mixed",
        "teacher": fit,
        "finetune": {"steps": 2, "validate_every": 2},
        "score": {"real_views": 4, "kid_subset_size": 2},
        "evaluate": {"bootstrap": 100},
    }
    config = validate(PipelineConfig, values, "toy")

    made: Any = augmentation_pipeline(config, workspace=str(tmp_path))

    record = json.loads((Path(made["run"]) / "run.json").read_text())
    roles = record["artifacts"]
    assert roles["samples"][0] == "toy" and "generator" not in roles
    kinds = [kind for kind, _ in here]
    assert kinds.count("segmenter.train") == 2 and "generator.train" not in kinds
    labelled = Store(tmp_path).find(*roles["labelled"])
    assert labelled is not None
    assert (labelled.metrics["kept"], labelled.metrics["rejected"]) == (4, 0)
    for seed in range(4):  # the masks of the source are the labels
        name = f"masks/toy{seed}.png"
        samples = Store(tmp_path).folder(*roles["samples"])
        assert (labelled.path / name).read_bytes() == (samples / name).read_bytes()
    # Two phases as one: the settings of the first, the steps of both.
    student = Store(tmp_path).find(*roles["student"])
    assert student is not None and student.manifest["settings"]["steps"] == 4
    assert student.manifest["inputs"].keys() == {"images", "synthetic"}


def test_a_new_source_goes_through_a_study_beside_others(
    toy: None, here: Made, tiny_study: Callable[..., StudyConfig], tmp_path: Path
) -> None:
    config = tiny_study(
        sources={"wide": {"kind": "toy", "period": 16}, "narrow": "toy"},
        arms={"counts": [3], "orders": ["mixed"], "seeds": [0]},
    )

    made: Any = compare_ratios(config, workspace=str(tmp_path))

    assert made["failed"] == []
    results = json.loads((Path(made["run"]) / "results.json").read_text())
    assert [arm["id"] for arm in results["arms"]] == [
        "4-real-only",
        "4-real-3-wide-mixed",
        "4-real-3-narrow-mixed",
    ]
    assert [arm["source"] for arm in results["arms"]] == [None, "wide", "narrow"]
    kinds = [kind for kind, _ in here]
    assert kinds.count("toy") == 2 and "generator.train" not in kinds
