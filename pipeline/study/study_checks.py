"""What can be known to be wrong with a study before any work starts. Cheap, no torch."""

from __future__ import annotations

from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.sinks.board import switched_on
from vesselforge.engine.store import Store
from vesselforge.pipeline.input_checks import check_files, check_scores
from vesselforge.pipeline.study.study_works import study_arms, training_images


def check_study(config: StudyConfig, workspace: Path) -> None:
    """Raises DataError for a dataset or file that is not there, ConfigError for more real images
    than there are and for TensorBoard asked for in vain, WorkspaceError when the workspace cannot
    be written."""
    from vesselforge.data.datasets import load_settings

    Store(workspace).open()
    switched_on()
    for data in (config.data, *config.external):
        if data.name == "images":
            raise DataError("data.name: images has no vessel masks, and a study needs them")
        load_settings(data)
    check_files(config.generator, config.score)
    check_scores(config.score, config.sources.values(), config)
    study_arms(config, training_images(config.data))
