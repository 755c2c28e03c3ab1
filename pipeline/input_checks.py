"""What can be known to be wrong before any work starts, or Prefect is loaded. Cheap, no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.settings import DataSettings, PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.data.layouts.items import Dataset
from vesselforge.data.layouts.warned import warning_line
from vesselforge.engine.sinks.board import switched_on
from vesselforge.engine.store import Store
from vesselforge.pipeline.run.remarks import without_repeats
from vesselforge.pipeline.setting_checks import (
    check_arms,
    check_images,
    check_observers,
    check_run_settings,
    check_start,
)
from vesselforge.pipeline.sources import Config
from vesselforge.pipeline.study.study_works import study_arms, training_images
from vesselforge.pipeline.works import begun_by

WITHOUT_MASKS = ("development", "generator", "samples", "scores")
"""The steps that images alone are enough for."""


def check_inputs(config: PipelineConfig, workspace: Path, last: str = "run") -> list[str]:
    """What is odd about the images, a line a dataset, as far as nothing has to be read for it.

    Raises DataError for a dataset or file that is not there or that cannot teach a segmenter,
    ConfigError for settings that cannot work together, or with these images, and for a model to
    begin with that is another network than its training's,
    WorkspaceError when the workspace cannot be written, ConfigError for TensorBoard asked for in
    vain. last: of LAST_STEPS in `run_works`, or `run` for the whole pipeline."""
    if config.data.name == "images" and last not in WITHOUT_MASKS:
        raise DataError(
            "data.name: images has no vessel masks, so there is nothing to teach a segmenter; use "
            "`vesselforge generator train`, `sample` or `score`, or a dataset with masks "
            "(data.name: paired)"
        )
    if config.data.name == "images" and last == "scores" and config.score.needs_teacher:
        raise DataError(
            "score.features: teacher needs a segmenter, and data.name: images has no vessel masks "
            "to teach one; set score.features: random or inception"
        )
    check_run_settings(config, last)
    sets = config.data.each_fold() if last == "run" else [config.data]
    found = _check(config, workspace, sets)
    for dataset in found:
        check_images(config, dataset, last)
    return _odd(sets, found)


def check_study(config: StudyConfig, workspace: Path) -> list[str]:
    """The same for a study; ConfigError also for more real images than there are."""
    if any(data.name == "images" for data in [config.data, *config.external]):
        raise DataError("data.name: images has no vessel masks, and a study needs them")
    for data in config.external:
        if data.is_cross_validated:
            raise ConfigError(
                f"external: {data.name}: folds: found {data.folds}, expected none, for every image "
                "of a further set is scored; unset folds there"
            )
    folds = config.data.each_fold()
    sets = [*folds, *config.external]
    found = _check(config, workspace, sets)
    own, further = found[: len(folds)], found[len(folds) :]
    for dataset in own:
        check_images(config, dataset)
    names = {str(config.data.name): own[0]} | {each.name: each for each in further}
    check_observers(config, names)
    check_arms(config, study_arms(config, min(map(training_images, folds))))
    return _odd(sets, found)


def _odd(sets: Iterable[DataSettings], found: Iterable[Dataset]) -> list[str]:
    """What was noticed while files became items."""
    lines = [
        warning_line({"name": dataset.name, "problems": list(map(vars, dataset.problems))}, data)
        for data, dataset in zip(sets, found, strict=True)
    ]
    return without_repeats(filter(None, lines))


def _check(config: Config, workspace: Path, sets: Iterable[DataSettings]) -> list[Dataset]:
    """What is the same for both; the datasets."""
    from vesselforge.data.datasets import load_settings

    Store(workspace).open()
    switched_on()
    datasets = [load_settings(data) for data in sets]
    check_start(config.generator)
    begun_by(config, workspace)
    return datasets
