"""The whole pipeline and the study, as `vesselforge run` and `compare` do them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from vesselforge.api.arguments import checked
from vesselforge.configs.load import Given, load_any
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.sinks.display import Display, new_display
from vesselforge.engine.store import Store
from vesselforge.flows.launch import RUN, STUDY, launch
from vesselforge.pipeline.input_checks import check_inputs, check_study
from vesselforge.pipeline.models.score_rows import scored
from vesselforge.pipeline.places import workspace_folder
from vesselforge.pipeline.study.schema import RESULTS, Results, read_results


@dataclass(frozen=True)
class RunResult:
    """What came of a run. folder: workspace/runs/NAME, which `load_model` takes, too. report: its
    page. scores: model → metric → value, of all test pixels inside the field of view, None where it
    is undefined. chosen: the model that serves, the best on validation; None of a cross-validation.
    remarks: what should be known beside the scores. metrics: everything that was measured."""

    folder: Path
    report: Path
    scores: dict[str, dict[str, float | None]]
    chosen: str | None
    remarks: list[str]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class StudyResult:
    """What came of a study. folder: workspace/runs/NAME. report: its page. headline: the answer in
    one sentence. failed: arms that could not be trained. results: all of results.json: arms, their
    effects with intervals and p-values, verdicts."""

    folder: Path
    report: Path
    headline: str
    failed: list[str]
    results: Results


@checked
def run(
    config: Given,
    *,
    overrides: Mapping[str, Any] | None = None,
    workspace: str | PathLike[str] | None = None,
    server: str | None = None,
    quiet: bool = False,
) -> RunResult:
    """Train on a config's images and its synthetic ones, and score; the same call again goes on
    where it stopped, and makes nothing twice.

    config: the name of a shipped config, a YAML file, a dict of what would stand in one, or a
    PipelineConfig. overrides: setting → value, such as {"teacher.steps": 300}. workspace: folder
    of artifacts and runs, default $VESSELFORGE_WORKSPACE, else ./workspace. server: of Prefect;
    default: $PREFECT_API_URL, else one of the run's own. quiet: progress goes to the log
    `vesselforge` instead of standard error.

    Raises ConfigError for wrong settings and DataError for wrong images, before any work;
    WorkspaceError; TrainingError when a loss is no number; StageCrashed when a process died, and
    Interrupted upon Ctrl-C: what is finished, and checkpoints, are kept.

    >>> import vesselforge as vf
    >>> vf.run("quickstart", overrides={"teacher.step": 3})
    Traceback (most recent call last):
        ...
    vesselforge.configs.errors.ConfigError: ...teacher.step: unknown key; did you mean `steps`?
    >>> result = vf.run("quickstart")  # doctest: +SKIP
    >>> result.scores["teacher"]["f1"], result.report  # doctest: +SKIP
    """
    settings, place = load_any(PipelineConfig, config, overrides), workspace_folder(workspace)
    check_inputs(settings, place)
    made = launch(RUN, settings, place, Display() if quiet else new_display(), server)
    metrics = Store(place).read(*made["evaluation"]).metrics
    scores = {name: dict(each["fov"]["pooled"]) for name, each in scored(metrics).items()}
    choice = made["chosen"]["model"] if made["chosen"] else None
    where = Path(made["run"]), Path(made["report"])
    return RunResult(*where, scores, choice, list(made["remarks"]), metrics)


@checked
def compare(
    config: Given,
    *,
    overrides: Mapping[str, Any] | None = None,
    workspace: str | PathLike[str] | None = None,
    server: str | None = None,
    quiet: bool = False,
) -> StudyResult:
    """Does synthetic data help, at which ratio? Train every arm of a study alike, compare in pairs.

    config: as of `run`, of a study (a StudyConfig). Arguments and errors are those of `run`; an arm
    that fails is in the result, and the others go on.

    >>> import vesselforge as vf
    >>> vf.compare({"name": "mine", "arms": {"counts": [-1]}})
    Traceback (most recent call last):
        ...
    vesselforge.configs.errors.ConfigError: config: arms.counts.0: ... (found -1)
    >>> result = vf.compare("compare-quickstart")  # doctest: +SKIP
    >>> result.headline, [arm.label for arm in result.results.arms]  # doctest: +SKIP
    """
    settings, place = load_any(StudyConfig, config, overrides), workspace_folder(workspace)
    check_study(settings, place)
    made = launch(STUDY, settings, place, Display() if quiet else new_display(), server)
    folder = Path(made["run"])
    results = read_results(folder / RESULTS)
    return StudyResult(folder, Path(made["report"]), results.headline, made["failed"], results)
