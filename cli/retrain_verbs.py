"""`vesselforge retrain` and `vesselforge models …`: models that serve, and how they come to."""

from __future__ import annotations

from typing import Annotated

import typer

from vesselforge.cli.verbs import (
    WORKSPACE,
    ConfigArgument,
    JsonOption,
    SetOption,
    WorkspaceOption,
    new_app,
    new_display,
    print_json,
    print_table,
    verb,
)

app = new_app("Trained models by version: which one serves, and how it came to.")
NameArgument = Annotated[str, typer.Argument(help="Line of models: the `name` in its config.")]
WhyOption = Annotated[str, typer.Option("--why", help="Reason, for the record.")]


@verb
def retrain(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
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
    from vesselforge.engine.store import Store

    Store(workspace).open()
    from vesselforge.flows.launch import RETRAINING, launch

    made = launch(RETRAINING, settings, workspace, new_display())
    print_json(made) if json_ else typer.echo(f"{made['state']}: {made['message']}")


@app.command(name="list")
@verb
def list_(
    name: Annotated[
        str | None, typer.Argument(help="Line of models.  [default: all, a row each]")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """The lines of models; of one line, its versions and what happened to them."""
    from vesselforge.pipeline.models.registry import known_registry, lines
    from vesselforge.pipeline.models.score_rows import event_rows, line_rows, version_rows

    if name is None:
        found = lines(workspace)
        if json_:
            print_json([line.model_dump(mode="json") for line in found])
        elif found:
            print_table(line_rows(found), f"models in {workspace}")
        else:
            typer.echo("no models yet; `vesselforge retrain CONFIG` begins a line")
        return
    line = known_registry(workspace, name).read()
    if json_:
        print_json(line.model_dump(mode="json"))
    else:
        print_table(version_rows(line), f"versions of {name}")
        print_table(event_rows(line), "what happened")


@app.command()
@verb
def promote(
    name: NameArgument,
    version: Annotated[int, typer.Argument(help="Number of the version that shall serve.")],
    why: WhyOption = "by hand",
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Let a version serve, whatever the comparison said."""
    from vesselforge.pipeline.models.registry import known_registry

    known_registry(workspace, name).promote(version, why)
    typer.echo(f"{name}: version {version} serves now")


@app.command()
@verb
def rollback(
    name: NameArgument, why: WhyOption = "by hand", workspace: WorkspaceOption = WORKSPACE
) -> None:
    """Let the champion before the present one serve again."""
    from vesselforge.pipeline.models.registry import known_registry

    number = known_registry(workspace, name).roll_back(why)
    typer.echo(f"{name}: version {number} serves again")
