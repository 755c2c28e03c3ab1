"""The command line. Each verb parses, calls one public function, prints.

Nothing heavy is imported before a verb needs it: help and a wrong setting answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli import browse_verb, data_verbs, generator_verbs, line_verbs, model_verbs
from vesselforge.cli.finetune_verb import ServerOption, finetune
from vesselforge.cli.verbs import (
    WORKSPACE,
    ConfigArgument,
    DryRunOption,
    JsonOption,
    SetOption,
    WorkspaceOption,
    as_table,
    new_app,
    new_display,
    print_preview,
    print_result,
    verb,
)

main = new_app(
    "Augment a small segmentation set with GAN images and teacher labels, and prove what it gives."
)
main.add_typer(data_verbs.app, name="data")
main.add_typer(generator_verbs.app, name="generator")
main.add_typer(model_verbs.app, name="segmenter")
main.add_typer(line_verbs.app, name="models")


@verb(main)
def run(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Run the augmentation pipeline; the same command again goes on where it stopped."""
    from vesselforge.configs.load import load
    from vesselforge.configs.settings import PipelineConfig

    settings = load(PipelineConfig, config, set_ or [])
    from vesselforge.pipeline.input_checks import check_inputs

    check_inputs(settings, workspace)
    if dry_run:
        from vesselforge.pipeline.run.folds import everything

        print_preview(everything(settings, workspace), workspace, json_)
        return
    from vesselforge.flows.launch import RUN, launch

    made = launch(RUN, settings, workspace, new_display(), server)
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.models.choice import in_words
    from vesselforge.pipeline.models.score_rows import score_rows

    metrics = Store(workspace).read(*made["evaluation"]).metrics
    split = f"{metrics['folds']} folds" if "folds" in metrics else "test split"
    title = f"{split}, {metrics['images']} images, pooled inside the field of view"
    rows = score_rows(metrics)
    scores = as_table(rows, title) if rows else str(metrics.get("note", "nothing was scored"))
    serves = [in_words(made["chosen"])] if made["chosen"] else []
    told = [*made["remarks"], *serves, f"report: {made['report']}"]
    print_result(json_, made | {"metrics": metrics}, scores, *told)


verb(main)(finetune)
verb(main)(browse_verb.browse)


@verb(main)
def compare(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
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
        from vesselforge.pipeline.study.study_plan import study_plan

        print_preview(study_plan(settings, workspace).everything(), workspace, json_)
        return
    from vesselforge.flows.launch import STUDY, launch

    _print_study(launch(STUDY, settings, workspace, new_display(), server), json_)


@verb(main)
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
    _print_study(made | {"report": str(page)}, json_)


def _print_study(made: dict[str, Any], json_: bool) -> None:
    """made: `run`, its folder; `report`; and `failed`, the arms that did."""
    from vesselforge.pipeline.study.schema import RESULTS, read_results
    from vesselforge.report.study.arm_tables import arm_table

    results = read_results(Path(made["run"]) / RESULTS)
    arms = [(end.name, arm_table(results, end.place)) for end in results.endpoints]
    tables = [as_table(found.content, f"{name}: {found.caption}") for name, found in arms]
    said = [f"failed: {arm}" for arm in made["failed"]]
    for line in said + [f"note: {note}" for note in (*results.warned, *results.notes)]:
        typer.echo(line, err=True)
    whole = made | {"results": results.model_dump(mode="json")}
    print_result(json_, whole, *tables, results.headline, f"report: {made['report']}")


@verb(main)
def retrain(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    json_: JsonOption = False,
) -> None:
    """Train again if the dataset's folder changed; promote the new model unless it is worse.

    Bad images are left out with their reason. Champion and challenger are compared on the same
    validation images by a paired test; `retrain.margin` says by how much F1 a new model may be
    worse. The deployment `retrain/drive` does this on a schedule.
    """
    from vesselforge.configs.load import load
    from vesselforge.configs.settings import PipelineConfig

    settings = load(PipelineConfig, config, set_ or [])
    from vesselforge.pipeline.setting_checks import check_run_settings

    check_run_settings(settings)
    from vesselforge.flows.launch import RETRAINING, launch

    made = launch(RETRAINING, settings, workspace, new_display(), server)
    print_result(json_, made, f"{made['state']}: {made['message']}")


@verb(main)
def report(
    run: Annotated[str, typer.Argument(help="Name of a run, or its folder.")],
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write the HTML report of a run or study (again)."""
    from vesselforge.configs.errors import WorkspaceError
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.record import PARTLY_FAILED, read_run
    from vesselforge.report.writing import report_on

    folder, record = read_run(workspace, run)
    if record["status"] not in ("completed", PARTLY_FAILED):
        raise WorkspaceError(
            f"{folder}: this run is {record['status']}, not completed; the command that started "
            "it (`vesselforge run` or `compare`) goes on"
        )
    page = report_on(folder, Store(folder.parent.parent), force=True)
    print_result(json_, {"report": str(page)}, f"report: {page}")


@verb(main)
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the server and its page.")] = 4200,
    limit: Annotated[int, typer.Option(min=1, help="Runs at once; the others wait.")] = 1,
) -> None:
    """Prefect's server, a worker and every deployment of ./prefect.yaml, on 127.0.0.1."""
    from vesselforge.flows.serving.serve import serve as serve_here

    serve_here(port, limit)


@verb(main)
def doctor(workspace: WorkspaceOption = WORKSPACE, json_: JsonOption = False) -> None:
    """What this machine has, and what would stop a run on it; then the exit status is 2."""
    from vesselforge.cli.doctor import examine

    findings = list(examine(workspace))
    whole = {f.name: {"found": f.found, "state": f.state, "hint": f.hint} for f in findings}
    print_result(json_, whole, as_table([{"what": f.name, "found": f.found} for f in findings]))
    for f in findings:
        if f.state != "ok":
            typer.echo(f"{f.state}: {f.name}: {f.found}; {f.hint}", err=True)
    if any(f.state == "broken" for f in findings):
        raise typer.Exit(2)


if __name__ == "__main__":
    main()
