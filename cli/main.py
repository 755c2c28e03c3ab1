"""The command line. Each verb parses, calls one public function, prints.

Nothing heavy is imported before a verb needs it: help and a wrong setting answer at once.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli import (
    browse_verb,
    data_verbs,
    generator_verbs,
    line_verbs,
    model_verbs,
    setting_verbs,
)
from vesselforge.cli.app import new_app, verb
from vesselforge.cli.finetune_verb import finetune
from vesselforge.cli.names import (
    ConfigArgument,
    RunArgument,
    RunsArgument,
    SetOption,
    StudyArgument,
    StudySetOption,
)
from vesselforge.cli.verbs import (
    WORKSPACE,
    DryRunOption,
    JsonOption,
    ServerOption,
    WorkspaceOption,
    as_table,
    new_display,
    print_preview,
    print_result,
)
from vesselforge.configs.load import load

ABOUT = """Augment a small segmentation set with synthetic images, and prove what it gives.

\b
To begin with:
  vesselforge predict sa-unet-drive eye.png -o maps   a trained model, on your image
  vesselforge run quickstart                          the whole pipeline, on phantoms
  vesselforge init my-eyes                            a config for a folder of yours
"""
main = new_app(ABOUT, completion=True)
main.add_typer(data_verbs.app, name="data")
main.add_typer(generator_verbs.app, name="generator")
main.add_typer(model_verbs.app, name="segmenter")
main.add_typer(line_verbs.app, name="models")


def print_version(asked: bool) -> None:
    """Versions of what results depend on; nothing of it is loaded."""
    if asked:
        installed = ", ".join(f"{name} {version(name)}" for name in ("vesselforge", "torch"))
        typer.echo(f"{installed}, Python {platform.python_version()}")
        raise typer.Exit


@main.callback()
def front(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=print_version,
            is_eager=True,
            help="Print the versions of VesselForge, PyTorch and Python.",
        ),
    ] = False,
) -> None:
    """Options of the command itself."""


@verb(
    main,
    example="""vesselforge run quickstart
    vesselforge run drive-cpu --set data.name=paired --set data.root=my-eyes""",
)
def run(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Run the whole pipeline; run again, it goes on where it stopped."""
    from vesselforge.configs.settings import PipelineConfig

    settings = load(PipelineConfig, config, set_ or [])
    from vesselforge.pipeline.input_checks import check_inputs

    odd = check_inputs(settings, workspace)
    if dry_run:
        from vesselforge.pipeline.run.folds import everything

        print_preview(everything(settings, workspace), odd, workspace, json_)
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


verb(main, example="vesselforge finetune sa-unet-drive my-eyes")(finetune)
verb(main, example=model_verbs.PREDICT)(model_verbs.predict)
verb(main, example="vesselforge init my-eyes -o my-eyes.yaml")(setting_verbs.init)
verb(
    main,
    example="""vesselforge settings generator
    vesselforge settings teacher.lr --config drive-cpu""",
)(setting_verbs.settings)
verb(main, example="vesselforge browse quickstart")(browse_verb.browse)


@verb(
    main,
    example="""vesselforge compare compare-quickstart
    vesselforge compare compare-drive-cpu --set 'arms.counts=[0,50]' --dry-run""",
)
def compare(
    config: StudyArgument,
    set_: StudySetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Does synthetic data help? Train arms alike, compare in pairs.

    Arms: synthetic count x order x augmentation x seed x number of real images, all in the config
    under `arms`. Every arm gets the same number of optimiser steps. Finished stages are reused, so
    the same command goes on where it stopped, and a count or a seed that is added trains only what
    is new: --set 'arms.counts=[0,50,200]'. A failed arm is reported and the others go on; the exit
    status is then still 0.
    """
    from vesselforge.configs.study import StudyConfig

    settings = load(StudyConfig, config, set_ or [])
    from vesselforge.pipeline.input_checks import check_study

    odd = check_study(settings, workspace)
    if dry_run:
        from vesselforge.pipeline.study.study_plan import study_plan

        print_preview(study_plan(settings, workspace).everything(), odd, workspace, json_)
        return
    from vesselforge.flows.launch import STUDY, launch

    _print_study(launch(STUDY, settings, workspace, new_display(), server), json_)


@verb(main, example="vesselforge merge both study-here copied/study-there")
def merge(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the new run, under workspace/runs.")
    ],
    runs: RunsArgument,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Unite the seeds of a study that were run in several places.

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


@verb(main, example="vesselforge retrain drive-cpu")
def retrain(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    json_: JsonOption = False,
) -> None:
    """Train again if images changed; promote what is not worse.

    Bad images are left out with their reason. Champion and challenger are compared on the same
    validation images by a paired test; `retrain.margin` says by how much F1 a new model may be
    worse. The deployment `retrain/drive` does this on a schedule.
    """
    from vesselforge.configs.settings import PipelineConfig

    settings = load(PipelineConfig, config, set_ or [])
    from vesselforge.pipeline.setting_checks import check_run_settings

    check_run_settings(settings)
    from vesselforge.flows.launch import RETRAINING, launch

    made = launch(RETRAINING, settings, workspace, new_display(), server)
    print_result(json_, made, f"{made['state']}: {made['message']}")


@verb(main, example="vesselforge report quickstart")
def report(
    run: RunArgument,
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


@verb(main, example="vesselforge serve --port 4300 --limit 2")
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the server and its page.")] = 4200,
    limit: Annotated[int, typer.Option(min=1, help="Runs at once; the others wait.")] = 1,
) -> None:
    """Serve Prefect's page, a worker and all deployments.

    On 127.0.0.1; deployments are those of ./prefect.yaml. Ctrl-C stops them all.
    """
    from vesselforge.flows.serving.serve import serve as serve_here

    serve_here(port, limit)


@verb(main, example="vesselforge doctor")
def doctor(workspace: WorkspaceOption = WORKSPACE, json_: JsonOption = False) -> None:
    """Say what this machine has, and what would stop a run on it.

    The exit status is 2 where something would.
    """
    from vesselforge.cli.doctor.machine import examine

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
