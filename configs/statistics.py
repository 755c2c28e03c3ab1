"""Settings of a study's statistics: what is compared, where it is decided, how sure to be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from vesselforge.configs.base import Each, Settings

Metric = Literal[
    "f1", "f1_best", "auc", "ap", "mcc", "iou", "se", "se_thin", "sp", "acc", "precision", "cldice"
]
BEST: Metric = "f1_best"
REFERENCE = "1st"
"""The observer whose drawings a dataset is trained and scored on."""


class EndpointSettings(Settings):
    """Where the question is decided: one set of test images, or several together as one."""

    name: str = Field(min_length=1, max_length=60, description="what readers call it")
    sets: Each[str] = Field(min_length=1)
    """names of datasets, `data`'s or of `external`; the images of several count as one set"""
    observer: str = REFERENCE
    """whose drawings count; 1st: those of a set's usual reference"""


class StatisticsSettings(Settings):
    """What is compared, and how sure one has to be."""

    metric: Metric = "f1"
    """per image, at a threshold chosen on validation images; f1_best: at the one that is best on
    the test set itself; se_thin: of vessels up to 3 px"""
    metrics: Each[Metric] = Field([BEST])
    """secondary: levels and differences at the endpoints, f1_best at every place"""
    endpoints: list[EndpointSettings] = Field([])
    """where the question is decided; default: the dataset's own test. Holm's correction is over all
    primary arms on all endpoints"""
    primary_arms: Each[str] = Field([])
    """names of the arms that decide; empty: all with synthetic images"""
    primary_real_images: Each[int] = Field([])
    """of `arms.real_images`: those that decide; empty: all"""
    region: Literal["fov", "whole"] = Field("fov", description="pixels that count")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of any false alarm in the study")
    power: float = Field(0.8, gt=0.5, lt=1, description="of the smallest effect worth reporting")
    bootstrap: int = Field(5000, ge=200, description="resamples of seeds and images")

    @property
    def secondary(self) -> list[Metric]:
        """The metrics beside the main one."""
        return [metric for metric in self.metrics if metric != self.metric]

    @property
    def declared(self) -> bool:
        """Whether it was said in advance what decides, and where."""
        return bool(self.endpoints or self.primary_arms or self.primary_real_images)

    def check(self, sets: Collection[str], arms: Collection[str], sizes: Collection[int]) -> None:
        """Raises ValueError where endpoints and arms are not those of the study.

        sets: names of its datasets; arms: names of arms with synthetic images; sizes: numbers of
        real images.
        """
        names = [endpoint.name for endpoint in self.endpoints]
        if len(set(names)) < len(names):
            raise ValueError(f"statistics.endpoints: each name once, found {names}")
        for endpoint in self.endpoints:
            if unknown := sorted(set(endpoint.sets) - set(sets)):
                raise ValueError(
                    f"statistics.endpoints: {endpoint.name}: found the set {', '.join(unknown)}, "
                    f"expected one of {', '.join(sets)}"
                )
            if endpoint.name in sets and endpoint.sets != [endpoint.name]:
                raise ValueError(
                    f"statistics.endpoints: {endpoint.name} is the name of a dataset; give "
                    f"{' + '.join(endpoint.sets)} another"
                )
        for what, found, known, none in (
            ("primary_arms", self.primary_arms, arms, "named ones with a source"),
            ("primary_real_images", self.primary_real_images, sizes, "real_images"),
        ):
            if strange := [str(each) for each in found if each not in known]:
                raise ValueError(
                    f"statistics.{what}: found {', '.join(strange)}, expected "
                    f"{', '.join(map(str, known)) or f'none: arms has no {none}'}"
                )
