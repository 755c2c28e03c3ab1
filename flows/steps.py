"""The steps of the augmentation pipeline: which stage, with which settings, from which inputs.

The Prefect flow and the single-stage commands both call these; neither knows more than the order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel

from configs.errors import DataError
from configs.segmenter import EnsembleMethod
from configs.settings import (
    EnsembleSettings,
    GeneratorSettings,
    PipelineConfig,
    PrepareSettings,
    ScoreSettings,
)
from data.files import file_sha256
from data.store import Artifact, Inputs


class Produce(Protocol):
    """`flows.stages.produce` with everything but the work itself filled in.

    step: what this piece of work is called in this run, for people.
    """

    def __call__(
        self,
        step: str,
        kind: str,
        settings: BaseModel,
        inputs: Inputs,
        outside: Mapping[str, str] | None = None,
    ) -> Artifact: ...


@dataclass(frozen=True)
class Steps:
    """One method a step; each returns the artifact. round_: from 0; later ones are numbered."""

    config: PipelineConfig
    produce: Produce
    content_hash: Callable[[], str]
    """Hash of the dataset's files, computed once a run."""

    def development(self) -> Artifact:
        """Training and validation images."""
        return self._prepare("development")

    def test(self) -> Artifact:
        """Test images: an input of the evaluation alone."""
        return self._prepare("test")

    def _prepare(self, part: Literal["development", "test"]) -> Artifact:
        settings = PrepareSettings(data=self.config.data, part=part)
        outside = {"dataset": self.content_hash()}
        return self.produce(f"{part} images", "data.prepare", settings, {}, outside)

    def teacher(self, development: Artifact) -> Artifact:
        return self.produce(
            "teacher", "segmenter.train", self.config.teacher, {"images": development}
        )

    def generator(
        self, development: Artifact, round_: int = 0, start: Artifact | None = None
    ) -> Artifact:
        """The GAN; from the second round on, `start` is fine-tuned on for `generator_kimg`."""
        settings = self.config.generator
        inputs, outside = {"images": development}, files_of_generator(settings)
        if start is not None:
            kimg = self.config.iterate.generator_kimg
            settings = settings.model_copy(update={"kimg": kimg, "start_from": None})
            inputs["start"], outside = start, {}
        step = numbered("generator", round_)
        return self.produce(step, "generator.train", settings, inputs, outside)

    def sample(self, generator: Artifact, round_: int = 0) -> Artifact:
        settings = self.config.sample
        seed = settings.seed + round_ * settings.count  # other images in every round
        return self.produce(
            numbered("samples", round_),
            "generator.sample",
            settings.model_copy(update={"seed": seed}),
            {"generator": generator},
        )

    def score(
        self,
        samples: Artifact,
        development: Artifact,
        generator: Artifact,
        teacher: Artifact | None,
        round_: int = 0,
    ) -> Artifact:
        """How good the samples are. teacher: needed for `features: teacher` alone; other
        extractors, and scores that draw nothing of their own, do not depend on what they ignore."""
        settings = self.config.score
        inputs = {"samples": samples, "images": development}
        if settings.needs_teacher:
            assert teacher is not None
            inputs["teacher"] = teacher
        if settings.needs_generator:
            inputs["generator"] = generator
        step = numbered("sample scores", round_)
        return self.produce(step, "generator.score", settings, inputs, files_of_score(settings))

    def pseudo_label(
        self,
        samples: Artifact,
        teacher: Artifact,
        development: Artifact,
        score: Artifact | None,
        round_: int = 0,
    ) -> Artifact:
        """Labels by the teacher. The real images and the samples' scores count only where a filter
        looks at them."""
        settings = self.config.pseudo_label
        inputs = {"samples": samples, "teacher": teacher}
        if settings.needs_real_masks:
            inputs["images"] = development
        if settings.needs_scores:
            assert score is not None
            inputs["scores"] = score
        step = numbered("pseudo-labels", round_)
        return self.produce(step, "segmenter.pseudo-label", settings, inputs)

    def pretrain(self, labelled: Artifact, development: Artifact, round_: int = 0) -> Artifact:
        return self.produce(
            numbered("student, synthetic images", round_),
            "segmenter.train",
            self.config.pretrain,
            {"images": labelled, "validation": development},
        )

    def finetune(self, pretrained: Artifact, development: Artifact, round_: int = 0) -> Artifact:
        return self.produce(
            numbered("student, real images", round_),
            "segmenter.train",
            self.config.finetune,
            {"images": development, "start": pretrained},
        )

    def ensemble(
        self,
        members: Mapping[str, Artifact],
        development: Artifact,
        method: EnsembleMethod = "mean",
        step: str = "ensemble",
    ) -> Artifact:
        """The members as one; what their combination needs is chosen on validation images."""
        inputs = {**members, "validation": development}
        return self.produce(step, "segmenter.ensemble", EnsembleSettings(method=method), inputs)

    def evaluate(
        self, test: Artifact, development: Artifact, models: Mapping[str, Artifact]
    ) -> Artifact:
        """Scores of every model on the test split, which nothing else ever reads."""
        inputs = {"test": test, "validation": development, **models}
        return self.produce("test scores", "segmenter.evaluate", self.config.evaluate, inputs)


def files_of_generator(settings: GeneratorSettings) -> dict[str, str]:
    """Content hashes of what a generator's training reads besides images."""
    if settings.start_from is None:
        return {}
    return {"start_from": hash_of("generator.start_from", settings.start_from)}


def files_of_score(settings: ScoreSettings) -> dict[str, str]:
    """Content hashes of the files that scores are computed with."""
    named = {name: getattr(settings, name) for name in ("features_file", "lpips_file")}
    return {n: hash_of(f"score.{n}", path) for n, path in named.items() if path is not None}


def numbered(step: str, round_: int) -> str:
    """The step's name, with the number of the round from the second one on."""
    return f"{step}, round {round_ + 1}" if round_ else step


def hash_of(setting: str, path: Path) -> str:
    """Content hash of a file, or of a generator's folder, that a setting names."""
    try:
        return folder_sha256(path) if path.is_dir() else file_sha256(path)
    except OSError as error:
        raise DataError(f"{setting}: {path} cannot be read ({error.strerror})") from error


def folder_sha256(folder: Path) -> str:
    """Hash of a generator's description and weights; of nothing else that may lie beside them."""
    files = [folder / "generator.json", *sorted(folder.glob("*.safetensors"))]
    content = {path.name: file_sha256(path) for path in files}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
