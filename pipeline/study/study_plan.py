"""A study of one fold or of all: the work of each fold, and the scores of all folds as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.run.folds import pooled
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_works import StudyWorks, study_folds

Scores = dict[str, list[Work]]
"""Test set → the evaluations there, of which an image's score is the mean: one, but of a set that
the models of every fold are scored on."""


@dataclass(frozen=True)
class StudyPlan:
    """folds: the work of each, as if it were compared alone; one where the study is no
    cross-validation."""

    config: StudyConfig
    folds: Sequence[StudyWorks]

    @property
    def cross_validated(self) -> bool:
        return len(self.folds) > 1

    @property
    def arms(self) -> list[ArmSpec]:
        """The same in all folds."""
        return self.folds[0].arms

    @property
    def compared(self) -> dict[str, list[str]]:
        """Arm id → the arms that it is compared with, its real-only arm first."""
        return self.folds[0].compared

    @property
    def content(self) -> dict[str, str]:
        """Content hash of each dataset by name. Who is in which split is part of it, so each fold
        has its own."""
        if not self.cross_validated:
            return dict(self.folds[0].content)
        own = self.config.data.name
        found = {f"{own}{fold.mark}": fold.content[own] for fold in self.folds}
        return found | {
            data.name: self.folds[0].content[data.name] for data in self.config.external
        }

    def scores(self, arm: ArmSpec, seed: int, folds: Sequence[Mapping[str, Work]]) -> Scores:
        """The scores of an arm with a seed. folds: `StudyWorks.scored` of each. The images of
        `data` are pooled, each once; those of further sets are scored in every fold."""
        found = {name: [each[name] for each in folds] for name in folds[0]}
        if self.cross_validated:
            own = self.config.data.name
            name = f"{arm.label}, {arm.real_images} real, seed {seed}"
            found[own] = [pooled(self.config, found[own], f"{own} scores, {name}, all folds")]
        return found

    def everything(self) -> list[Work]:
        """The targets of a study whose samples are all kept."""
        targets = [work for fold in self.folds for work in fold.before_students()]
        cells = product(self.arms, self.config.arms.seeds)
        in_folds = zip(*(fold.all_scored() for fold in self.folds), strict=True)
        for (arm, seed), folds in zip(cells, in_folds, strict=True):
            targets += chain(*self.scores(arm, seed, folds).values())
        return targets


def study_plan(config: StudyConfig, workspace: Path | None = None) -> StudyPlan:
    """Everything that the study will do, addressed. Raises DataError, ConfigError."""
    return StudyPlan(config, study_folds(config, workspace))
