"""Settings of the study: does synthetic data help, at which ratio, by how much beyond chance?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vesselforge.configs.base import Each, Filled, Settings, operational
from vesselforge.configs.settings import DataSettings, ExperimentConfig, MixSettings, Order, RunName
from vesselforge.configs.sources import Source, SourceName, StyleGAN2Source
from vesselforge.configs.stages.augmentation import StrongAugmentSettings
from vesselforge.configs.stages.labels import PseudoLabelSettings
from vesselforge.configs.statistics import StatisticsSettings

Strength = Literal["standard", "strong"]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=4000)]


class NamedArm(Settings):
    """One arm by a name of its own."""

    source: SourceName | None = None
    """of the synthetic images, by its name in `sources`; null: real only"""
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """synthetic images; default: all that the source has (unlabelled)"""
    order: Order = Field("mixed", description="what is seen when")
    strength: Strength = "standard"
    """augmentation of the real images: as in `student`, or `strong_augment`"""
    longer: float = Field(1.0, gt=0, le=10)
    """times the steps of the other arms; 2 for a real-only arm shows whether it had reached its
    plateau"""
    against: Each[str] = Field([])
    """named arms that it is compared with, beside its real-only arm"""


class ArmSettings(Settings):
    """The arms: every combination of these and the sources, or `named` ones. The real-only arm that
    an arm is compared with, trained in as many phases and augmented alike, is always among them."""

    named: dict[SourceName, NamedArm] = Field({})
    """arms one by one, in place of the combinations of counts, orders and sources"""
    controls: Each[str] = Field([])
    """named arms that every other arm is compared with, beside its real-only arm"""
    counts: Each[Count] = Field([0, 50, 200, 500, 1000], min_length=1)
    """synthetic images an arm trains on"""
    orders: Each[Order] = Field(["synthetic-first", "real-first", "mixed"], min_length=1)
    """what is seen in the first and in the second training; mixed: both kinds in every batch of a
    single one, with the settings of pretrain and the steps of both"""
    real_images: Each[Annotated[int, Field(ge=1)]] = Field([])
    """real training images, for a learning curve: the teacher and the students see only so many;
    empty: all there are"""
    seeds: Each[Seed] = Field([0, 1, 2], min_length=1, description="each arm is run with each")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        wanted = {*self.controls, *(name for arm in self.named.values() for name in arm.against)}
        if unknown := sorted(wanted - self.named.keys()):
            raise ValueError(
                f"controls, against: found {', '.join(unknown)}, expected names of arms in "
                f"`named`: {', '.join(self.named) or 'none'}"
            )
        return self


class SyntheticSettings(MixSettings):
    """Where the synthetic images come from, and how they enter training."""

    pool: int = Field(100, ge=1, le=25_000)
    """images drawn, labelled and filtered at a time; an arm takes the first ones that were kept, so
    smaller counts are inside larger ones; one that 40 pools do not fill is given up"""
    generator_sees: Literal["same", "all"] = "same"
    """with `real_images`: the generator is trained on the same few, or on all training images,
    whose labels it does not need"""
    reseed: Literal["students", "samples", "all"] = "students"
    """what a seed changes: the students' training; also which samples are drawn; or everything,
    from the choice of real images to teacher and generator"""


class ExecutionSettings(Settings):
    """How many stages run at once, and where. Results do not depend on it."""

    runner: Literal["processes", "dask"] = "processes"
    """processes: on this machine; dask: a cluster whose machines share the workspace (extra
    `dask`)"""
    workers: int | None = Field(None, ge=1, le=4096)
    """stages at once; default: one a GPU, or one for 2 cores"""
    gpus: Each[int] = Field([], description="cards to share out, one stage on each; empty: none")
    address: str | None = None
    """dask: of a running cluster (give `workers`, too); default: one here"""

    @model_validator(mode="after")
    def _workers_can_be_had(self) -> Self:
        if self.address is not None and self.runner == "processes":
            raise ValueError("address is that of a cluster: set runner: dask")
        if self.address is not None and self.workers is None:
            raise ValueError("workers: give the number of stages at once for a cluster elsewhere")
        if self.gpus and self.workers is not None and self.workers > len(self.gpus):
            raise ValueError(
                f"workers must not exceed the {len(self.gpus)} gpus, found {self.workers}: each "
                "stage gets a card of its own"
            )
        return self


class StudyConfig(Filled, ExperimentConfig):
    """Everything `vesselforge compare` does.

    Every arm trains one student with the same settings and so the same number of optimiser steps,
    in two trainings or, mixed, in one as long as both; only the images differ. A real-only arm sees
    real images alone, in as many trainings as the arms that are compared with it.
    """

    name: RunName = "study"
    external: list[DataSettings] = Field([])
    """further datasets: their test images are scored, nothing is trained there"""
    sources: dict[SourceName, Source] = Field({})
    """where synthetic images come from, by names that `arms` uses"""
    arms: ArmSettings = Field(ArmSettings(), description="what is compared")
    strong_augment: StrongAugmentSettings = StrongAugmentSettings()
    """augmentation of real images in arms of strength: strong"""
    synthetic: SyntheticSettings = SyntheticSettings()
    """pools of samples; sample.count does not count here"""
    filters: dict[SourceName, PseudoLabelSettings] = Field({})
    """by the name of a source: in the place of `pseudo_label` for its images"""
    statistics: StatisticsSettings = Field(StatisticsSettings(), description="intervals and tests")
    execution: ExecutionSettings = operational(ExecutionSettings(), description="where it runs")

    @classmethod
    def filling(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The source of a study that names none."""
        return {"sources": {"stylegan2": StyleGAN2Source()}}

    @classmethod
    def fillable(cls) -> Collection[str]:
        return ["sources"]

    @classmethod
    def otherwise(cls, name: str) -> str:
        return "a generator, by the name stylegan2"

    @model_validator(mode="after")
    def _all_of_it_goes_together(self) -> Self:
        named = self.arms.named
        with_source = {name: arm.source for name, arm in named.items() if arm.source}
        if unknown := sorted({*with_source.values(), *self.filters} - self.sources.keys()):
            raise ValueError(
                f"arms, filters: found the source {', '.join(unknown)}, expected one of `sources`: "
                f"{', '.join(self.sources) or 'none'}"
            )
        orders = {arm.order for arm in named.values()} or {*self.arms.orders}
        if "mixed" in orders:
            self.check_mixed("arms: order mixed")
        if self.finetune.start_from is not None:
            raise ValueError(
                "finetune.start_from: arms of one training have no second one; set "
                "teacher.start_from, with which all students begin, too"
            )
        if self.student.early_stop:
            raise ValueError("student.early_stop must be 0, for equal steps in all arms")
        if self.sample.seed > 100_000_000:
            raise ValueError(f"sample.seed must be at most 100,000,000, not {self.sample.seed:,}")
        sets = [self.data.name, *(data.name for data in self.external)]
        if len(set(sets)) < len(sets):
            raise ValueError(f"external: each set once, and not `data` itself; found {sets}")
        self.statistics.check(sets, [*with_source], self.arms.real_images)
        return self
