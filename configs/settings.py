"""The settings of every stage, and `PipelineConfig`, which holds one of each.

Field descriptions are shown by Prefect's parameter form.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from vesselforge.configs.base import Each, Settings, operational
from vesselforge.configs.sources import NoSource, Source, StyleGAN2Source
from vesselforge.configs.stages.augmentation import AugmentSettings as AugmentSettings
from vesselforge.configs.stages.gan import GeneratorSettings, SampleSettings, ScoreSettings
from vesselforge.configs.stages.images import DataSettings
from vesselforge.configs.stages.images import PhantomSettings as PhantomSettings
from vesselforge.configs.stages.images import PrepareSettings as PrepareSettings
from vesselforge.configs.stages.images import SubsetSettings as SubsetSettings
from vesselforge.configs.stages.labels import LabelSettings as LabelSettings
from vesselforge.configs.stages.labels import PseudoLabelSettings
from vesselforge.configs.stages.segmenter import (
    RANDOM,
    EnsembleMethod,
    EvaluateSettings,
    PhaseSettings,
    SegmenterSettings,
    StudentSettings,
)
from vesselforge.configs.stages.segmenter import CompareSettings as CompareSettings
from vesselforge.configs.stages.segmenter import EnsembleSettings as EnsembleSettings
from vesselforge.configs.stages.segmenter import FitSettings as FitSettings
from vesselforge.configs.stages.segmenter import PoolSettings as PoolSettings
from vesselforge.configs.stages.segmenter import StartSettings as StartSettings

Order = Literal["synthetic-first", "real-first", "mixed"]
"""What a student sees in its two trainings; mixed: both kinds in every batch of a single one."""
RunName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="folder under workspace/runs")
]


class IterateSettings(Settings):
    """Optional rounds in which the student becomes the next teacher."""

    rounds: int = Field(1, ge=1, le=20)
    """at most; they end when validation F1 no longer rises"""
    generator_kimg: float = Field(2.0, ge=0)
    """fine-tuning of the generator in each further round; 0: keep it"""


class RetrainSettings(Settings):
    """A challenger is promoted only when it is shown not to be worse by more than the margin."""

    margin: float = Field(0.01, gt=0, lt=1)
    """F1 per validation image by which a new model may be worse than the champion"""
    keep: int = Field(5, ge=2, le=1000)
    """newest versions whose models, runs and stages are kept; the champion and the one before it
    always are"""


class MixSettings(Settings):
    """How synthetic images enter the training of a student."""

    share: float = Field(0.25, gt=0, lt=1, description="mixed: synthetic part of every batch")
    augment: Literal["same", "standard"] = "same"
    """same: by `student.augment`, in arms of strength: strong, too; standard: by its defaults"""


class ExperimentConfig(Settings):
    """What runs and studies share: images, teacher, student, generator, labels, scores."""

    name: RunName = "run"
    data: DataSettings = Field(DataSettings(), description="the real images, and the test")
    teacher: SegmenterSettings = SegmenterSettings()
    """segmenter trained on real images; it labels the samples"""
    student: StudentSettings = StudentSettings()
    """segmenter that sees synthetic images, too; what is not set is as in `teacher`"""
    pretrain: PhaseSettings = PhaseSettings()
    """the student's first training; what is not set is as in `student`"""
    finetune: PhaseSettings = PhaseSettings()
    """its second training, likewise"""
    generator: GeneratorSettings = Field(GeneratorSettings(), description="StyleGAN2-ADA")
    sample: SampleSettings = Field(SampleSettings(), description="synthetic images")
    score: ScoreSettings = Field(ScoreSettings(), description="FID, KID, memorisation")
    pseudo_label: PseudoLabelSettings = PseudoLabelSettings()
    """labels and filters"""
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="test-split scoring")
    stage_timeout: float | None = operational(None, gt=0)
    """seconds that a stage may take, then it saves its checkpoint and has failed; the same command
    goes on from there; default: no limit"""

    @model_validator(mode="before")
    @classmethod
    def _the_student_begins_as_the_teacher(cls, values: Any) -> Any:
        """A faulty teacher is reported once, so nothing is taken over from it."""
        if not isinstance(values, dict):
            return values
        try:
            teacher = SegmenterSettings.model_validate(values.get("teacher", {}))
        except ValidationError:
            return values
        return values | {"student": StudentSettings.beside(teacher, values.get("student", {}))}

    @property
    def phases(self) -> tuple[SegmenterSettings, SegmenterSettings]:
        """The recipes of both trainings of a student."""
        return self.pretrain.of(self.student), self.finetune.of(self.student)

    def check_mixed(self, what: str) -> None:
        """Raise ValueError where no batch can hold both kinds of images. what: asks for that."""
        first, _ = self.phases
        if first.source == "pool":
            raise ValueError(f"{what} needs student.source: crops")
        if first.batch < 2:
            raise ValueError(
                f"{what}: every batch has both kinds of images, found a batch of {first.batch}; "
                "set pretrain.batch, or student.batch, to at least 2"
            )

    @model_validator(mode="after")
    def _phases_are_possible(self) -> Self:
        if self.finetune.start_from == RANDOM:
            raise ValueError(
                "finetune.start_from: found none, which would throw the first training away; "
                "leave it out, or name a model to begin with"
            )
        for name, phase in (("pretrain", self.pretrain), ("finetune", self.finetune)):
            try:
                phase.of(self.student)
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"{name}, with the settings of `student`: {why}") from None
        return self


class PipelineConfig(ExperimentConfig):
    """Everything `vesselforge run` does, stage by stage."""

    source: Source = StyleGAN2Source()
    """where synthetic images come from, `sample.count` of them; none: real images are all that is
    trained on"""
    synthetic: MixSettings = Field(MixSettings(), description="synthetic images in training")
    order: Order = "synthetic-first"
    """what the student sees when; mixed: both kinds in every batch of a single training, with the
    settings of pretrain, the steps of both, and finetune's threshold"""
    iterate: IterateSettings = Field(IterateSettings(), description="optional rounds")
    ensembles: Each[EnsembleMethod] = Field(["mean"], min_length=1)
    """ways to combine teacher and students, all scored"""
    retrain: RetrainSettings = RetrainSettings()
    """`vesselforge retrain`: when a new model is promoted"""

    @model_validator(mode="after")
    def _all_of_it_goes_together(self) -> Self:
        if self.order == "mixed":
            self.check_mixed("order: mixed")
        if self.order == "mixed" and self.finetune.start_from is not None:
            raise ValueError(
                "finetune.start_from: order: mixed has one training, as pretrain says; set "
                "student.start_from"
            )
        rounds = self.iterate.rounds
        if self.sample.seed + rounds * self.sample.count > 2**32:
            raise ValueError(
                f"iterate.rounds: {rounds} rounds of sample.count: {self.sample.count} from "
                f"sample.seed: {self.sample.seed} on have seeds above 2^32; lower one of the three"
            )
        if rounds > 1 and isinstance(self.source, NoSource):
            raise ValueError("iterate.rounds: source: none has no student; set rounds: 1")
        if rounds > 1 and self.source.labels == "own":
            raise ValueError(
                "iterate.rounds: a further round has a better teacher, whom source.labels: own "
                "does not ask; set rounds: 1, or labels: teacher or agreement"
            )
        return self
