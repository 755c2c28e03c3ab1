"""`vesselforge models …`: models that serve, and how they come to."""

from __future__ import annotations

from typing import Annotated

import typer

from vesselforge.cli.verbs import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    as_table,
    new_app,
    print_result,
    verb,
)

app = new_app("Trained models by version: which one serves, and how it came to.")
NameArgument = Annotated[str, typer.Argument(help="Line of models: the `name` in its config.")]
WhyOption = Annotated[str, typer.Option("--why", help="Reason, for the record.")]


@verb(app, "list")
def list_(
    name: Annotated[
        str | None, typer.Argument(help="Line of models.  [default: all, a row each]")
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """The lines of models, and models that `finetune` made; of a line, its versions and what
    happened to them; of such a model, its scores."""
    from vesselforge.pipeline.models.publish_finetuned import card_rows, cards, score_lines
    from vesselforge.pipeline.models.registry import known_registry, lines
    from vesselforge.pipeline.models.score_rows import event_rows, line_rows, version_rows

    tuned = cards(workspace)
    if name in tuned:
        rows, about = score_lines(tuned[name])
        print_result(json_, tuned[name], as_table(rows, about), str(tuned[name]["honest"]))
        return
    if name is not None:
        line = known_registry(workspace, name).read()
        versions = as_table(version_rows(line), f"versions of {name}")
        events = as_table(event_rows(line), "what happened")
        print_result(json_, line.model_dump(mode="json"), versions, events)
        return
    found = lines(workspace)
    none = "no models yet; `vesselforge retrain CONFIG` begins a line, `finetune` makes a model"
    every = [line.model_dump(mode="json") for line in found] + list(tuned.values())
    titles = {f"lines of models in {workspace}": line_rows(found)}
    titles |= {f"fine-tuned models in {workspace}": card_rows(tuned)}
    tables = [as_table(rows, title) for title, rows in titles.items() if rows]
    print_result(json_, every, *tables, *([] if tables else [none]))


@verb(app)
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


@verb(app)
def rollback(
    name: NameArgument, why: WhyOption = "by hand", workspace: WorkspaceOption = WORKSPACE
) -> None:
    """Let the champion before the present one serve again."""
    from vesselforge.pipeline.models.registry import known_registry

    number = known_registry(workspace, name).roll_back(why)
    typer.echo(f"{name}: version {number} serves again")
