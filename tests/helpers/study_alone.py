"""The work of a study without folds, or of one fold."""

from __future__ import annotations

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.study.study_plan import StudyPlan
from vesselforge.pipeline.study.study_works import StudyWorks, study_folds


def study_works(config: StudyConfig) -> StudyWorks:
    return study_folds(config)[0]


def everything(works: StudyWorks) -> list[Work]:
    return StudyPlan(works.config, [works]).everything()
