"""`vesselforge compare`: the study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flows.verbs import (
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

if TYPE_CHECKING:
    from flows.study.schema import Results


@verb
def compare(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
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
    from configs.load import load
    from configs.study import StudyConfig
    from flows.runs import workspace_folder

    settings = load(StudyConfig, config, set_ or [])
    folder = workspace_folder(workspace)
    if dry_run:
        from flows.study.checks import check_study
        from pipeline.study import study_works

        check_study(settings, folder)
        print_preview(study_works(settings).everything(), folder, json_)
        return
    from flows.launch import launch_study

    made = launch_study(settings, folder, new_display())
    from flows.study.schema import RESULTS, Results

    text = (Path(made["run"]) / RESULTS).read_text()
    results = Results.model_validate_json(text)
    if json_:
        print_json(made | {"results": results.model_dump(mode="json")})
    else:
        _show(results, made)


def _show(results: Results, made: dict[str, Any]) -> None:
    where = f"{results.primary.set}, {results.primary.observer} observer"
    from flows.study.rows import arm_rows

    print_table(arm_rows(results), f"{results.metric} per image on {where}: arm - real only")
    for failed in made["failed"]:
        typer.echo(f"failed: {failed}", err=True)
    typer.echo(results.headline)
    typer.echo(f"report: {made['report']}")
