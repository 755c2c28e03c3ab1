"""The Prefect flow of the study: arms of synthetic and real images, trained alike and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Completed

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Outcome
from vesselforge.engine.sinks.display import current
from vesselforge.engine.store import Store
from vesselforge.flows.notes import publish_table
from vesselforge.flows.run import stated, write_report
from vesselforge.flows.runners import ByRunner, task_runner
from vesselforge.flows.states import PARTLY
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.input_checks import check_study
from vesselforge.pipeline.preview import in_words, preview
from vesselforge.pipeline.record import STUDY, RunRecord
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.findings import findings_of
from vesselforge.pipeline.study.study_plan import study_plan
from vesselforge.pipeline.study.study_results import write_results
from vesselforge.report.study.arm_tables import arm_table


@flow(name=STUDY, flow_run_name="{config.name}", persist_result=False, result_serializer="json")
def compare_ratios(
    config: StudyConfig, overrides: list[str] | None = None, workspace: str | None = None
) -> Any:
    """Does synthetic data help, at which ratio, by how much beyond chance?

    Args:
        config: Every setting. Whoever gives another config replaces the whole of it: keys left
            out take their defaults. To change a few settings, use `overrides`.
        overrides: Changes to single settings, such as `arms.seeds=[0,1,2,3]`.
        workspace: Folder of artifacts and runs; default $VESSELFORGE_WORKSPACE or ./workspace.
    """

    return stated(run_study, config, overrides, workspace)


def run_study(config: StudyConfig, workspace: Path) -> Any:
    """The body of the flow. Returns where things are, the headline, and the arms that failed."""
    check_study(config, workspace)
    record = RunRecord(workspace, config)
    with record.watch():
        plan = study_plan(config, workspace)
        current().say(in_words(preview(plan.everything(), Store(workspace))))
        reused = 0

        def note(work: Work, outcome: Outcome) -> None:
            """What was there already is only counted."""
            nonlocal reused
            record.made(work, outcome)
            if outcome.reused:
                reused += 1
            elif config.execution.runner != "processes":  # its own process has said so elsewhere
                current().end(work.step, outcome)

        with task_runner(config.execution) as runner:
            where = (workspace, record.folder, config.execution, runner)
            hand = ByRunner(*where, config.stage_timeout)
            executor = Executor(workspace, hand, note, strict=False, look_first=True)
            study = Study(plan, executor, record)
            study.run()
        results = write_results(config, findings_of(study, record.folder), record.folder)
        rows = [row for end in results.endpoints for row in arm_table(results, end.place).content]
        publish_table(f"{config.name}-arms", rows, results.headline)
        if reused:
            current().say(f"{reused} stages were there already and were reused")
        record.finish("completed")
        page = write_report(record.folder, workspace)
    failed = [f"{t.spec.id}, seed {t.seed}" for t in study.trained if t.why]
    found = {
        "run": str(record.folder),
        "report": page,
        "headline": results.headline,
        "failed": failed,
    }
    return Completed(name=PARTLY, message=results.headline, data=found) if failed else found
