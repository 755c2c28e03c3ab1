"""`vesselforge models …`: every model there is, which ones serve, and how they come to."""

from __future__ import annotations

from typing import Annotated

import typer

from vesselforge.cli.app import new_app, verb
from vesselforge.cli.names import any_names, line_names
from vesselforge.cli.verbs import WORKSPACE, JsonOption, WorkspaceOption, as_table, print_result

app = new_app("All models by name; which version of a line serves.")
LineArgument = Annotated[
    str,
    typer.Argument(
        metavar="LINE",
        help="A line of models: its name in the workspace (the `name` in its config), or its "
        "folder.",
        autocompletion=line_names,
    ),
]
WhyOption = Annotated[str, typer.Option("--why", help="Reason, for the record.")]


@verb(
    app,
    "list",
    example="""vesselforge models list
    vesselforge models list drive-cpu""",
)
def list_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Of a model, or a run: tell more of it.",
            show_default="all there are, a row each",
            autocompletion=any_names,
        ),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """List models: those that come along, those of the workspace.

    Segmenters and generators in the box, lines of models that `retrain` keeps, models that
    `finetune` made, runs. Of a line, its versions and what happened to them; of a model, its
    scores; of a run, which of its models serves.
    """
    from vesselforge.pipeline.models.known import all_models, one_model

    found = all_models(workspace) if name is None else one_model(workspace, name)
    tables = [as_table(rows, title) for title, rows in found.tables.items() if rows]
    print_result(json_, found.content, *tables, *found.said)


@verb(app, example="vesselforge models promote drive-cpu 3 --why 'sharper on new cameras'")
def promote(
    name: LineArgument,
    version: Annotated[
        int, typer.Argument(metavar="VERSION", help="Number of the version that shall serve.")
    ],
    why: WhyOption = "by hand",
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Let a version serve, whatever the comparison said."""
    from vesselforge.pipeline.models.registry import known_registry

    registry = known_registry(workspace, name)
    registry.promote(version, why)
    typer.echo(f"{registry.name}: version {version} serves now")


@verb(app, example="vesselforge models rollback drive-cpu")
def rollback(
    name: LineArgument, why: WhyOption = "by hand", workspace: WorkspaceOption = WORKSPACE
) -> None:
    """Let the champion before the present one serve again."""
    from vesselforge.pipeline.models.registry import known_registry

    registry = known_registry(workspace, name)
    typer.echo(f"{registry.name}: version {registry.roll_back(why)} serves again")
