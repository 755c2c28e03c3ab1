"""The command line. Each verb parses, calls one public function, prints.

Nothing heavy is imported before a verb needs it: help and a wrong setting answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from vesselforge.cli import data_verbs as cli_data
from vesselforge.cli import generator_verbs as cli_generator
from vesselforge.cli import retrain_verbs as cli_retrain
from vesselforge.cli import segmenter_verbs as cli_segmenter
from vesselforge.cli import study_verbs as cli_compare
from vesselforge.cli.verbs import (
    WORKSPACE,
    ConfigArgument,
    DryRunOption,
    JsonOption,
    SetOption,
    WorkspaceOption,
    new_app,
    new_display,
    print_json,
    print_preview,
    print_table,
    verb,
)

main = new_app(
    "Augment a small segmentation set with GAN images and teacher labels, and prove what it gives."
)
main.add_typer(cli_data.app, name="data")
main.add_typer(cli_generator.app, name="generator")
main.add_typer(cli_segmenter.app, name="segmenter")
main.add_typer(cli_retrain.app, name="models")


@main.command()
@verb
def run(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
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
        from vesselforge.pipeline.run_works import run_works

        print_preview(run_works(settings).everything(), workspace, json_)
        return
    from vesselforge.flows.launch import RUN, launch

    made = launch(RUN, settings, workspace, new_display())
    from vesselforge.engine.store import Store

    metrics = Store(workspace).read(*made["evaluation"]).metrics
    if json_:
        print_json(made | {"metrics": metrics})
    else:
        print_scores(metrics)
        for remark in made["remarks"]:
            typer.echo(remark)
        typer.echo(f"report: {made['report']}")


def print_scores(metrics: dict[str, object]) -> None:
    """The test scores of every model and observer."""
    from vesselforge.pipeline.models.score_rows import score_rows

    rows = score_rows(metrics)
    if rows:
        count = metrics["images"]
        print_table(rows, f"test split, {count} images, pooled inside the field of view")
    else:
        typer.echo(str(metrics.get("note", "nothing was scored")))


main.command()(cli_compare.compare)
main.command()(cli_compare.merge)
main.command()(cli_retrain.retrain)


@main.command()
@verb
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
    print_json({"report": str(page)}) if json_ else typer.echo(f"report: {page}")


@main.command()
@verb
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the server and its page.")] = 4200,
    limit: Annotated[int, typer.Option(min=1, help="Runs at once; the others wait.")] = 1,
) -> None:
    """Prefect's server, a worker and every deployment of ./prefect.yaml, on 127.0.0.1."""
    from vesselforge.flows.serving.serve import serve as serve_here

    serve_here(port, limit)


@main.command()
@verb
def doctor(workspace: WorkspaceOption = WORKSPACE, json_: JsonOption = False) -> None:
    """What this machine has, and what would stop a run on it; then the exit status is 2."""
    from vesselforge.cli.doctor import examine

    findings = list(examine(workspace))
    if json_:
        print_json({f.name: {"found": f.found, "state": f.state, "hint": f.hint} for f in findings})
    else:
        print_table([{"what": f.name, "found": f.found} for f in findings])
        for f in findings:
            if f.state != "ok":
                typer.echo(f"{f.state}: {f.name}: {f.found}; {f.hint}", err=True)
    if any(f.state == "broken" for f in findings):
        raise typer.Exit(2)


if __name__ == "__main__":
    main()
