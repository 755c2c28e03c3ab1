"""`vesselforge compare` and `merge`: the study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.verbs import (
    WORKSPACE,
    ConfigArgument,
    DryRunOption,
    JsonOption,
    SetOption,
    WorkspaceOption,
    new_display,
    print_json,
    print_preview,
    print_table,
    verb,
)


@verb
def compare(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Does synthetic data help, at which ratio? Train every arm alike, compare in pairs.

    Arms: synthetic count x order x augmentation x seed x number of real images, all in the config
    under `arms`. Every arm gets the same number of optimiser steps. Finished stages are reused, so
    the same command goes on where it stopped, and a count or a seed that is added trains only what
    is new: --set 'arms.counts=[0,50,200]'. A failed arm is reported and the others go on; the exit
    status is then still 0.
    """
    from vesselforge.configs.load import load
    from vesselforge.configs.study import StudyConfig

    settings = load(StudyConfig, config, set_ or [])
    from vesselforge.pipeline.input_checks import check_study

    check_study(settings, workspace)
    if dry_run:
        from vesselforge.pipeline.study.study_works import study_works

        print_preview(study_works(settings).everything(), workspace, json_)
        return
    from vesselforge.flows.launch import STUDY, launch

    made = launch(STUDY, settings, workspace, new_display())
    _show(made, json_)


@verb
def merge(
    name: Annotated[str, typer.Argument(help="Of the new run, under workspace/runs.")],
    runs: Annotated[list[str], typer.Argument(help="Runs of one study: names, or folders.")],
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Unite the seeds of a study that were run in different places or on different days.

    The runs may differ in their seeds alone. Of each folder results.json, per_image.csv and
    config.yaml are read; nothing is trained or scored, and the artifacts need not be here.
    """
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.study.merge import merge_runs
    from vesselforge.report.writing import report_on

    made = merge_runs(name, runs, workspace)
    page = report_on(Path(made["run"]), Store(workspace), force=True)
    _show(made | {"report": str(page)}, json_)


def _show(made: dict[str, Any], json_: bool) -> None:
    """made: `run`, its folder; `report`; and `failed`, the arms that did."""
    from vesselforge.pipeline.study.schema import RESULTS, read_results
    from vesselforge.report.study.arm_tables import arm_table

    results = read_results(Path(made["run"]) / RESULTS)
    if json_:
        print_json(made | {"results": results.model_dump(mode="json")})
        return
    for endpoint in results.endpoints:
        table = arm_table(results, endpoint.place)
        print_table(table.content, f"{endpoint.name}: {table.caption}")
    for failed in made["failed"]:
        typer.echo(f"failed: {failed}", err=True)
    for note in results.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(results.headline)
    typer.echo(f"report: {made['report']}")
