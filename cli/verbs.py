"""What every verb of the command line shares: how it fails, where it works, how it prints."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Bus, Interrupted

if TYPE_CHECKING:
    from vesselforge.engine.sinks.display import Display
    from vesselforge.pipeline.graph import Work

F = TypeVar("F", bound=Callable[..., Any])
EXIT_USER_ERROR, EXIT_CRASH, EXIT_INTERRUPTED = 2, 1, 130

ConfigArgument = Annotated[str, typer.Argument(help="YAML file, or the name of a shipped one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=value", help="Change one setting; may be repeated."),
]
WORKSPACE = Path("workspace")
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        envvar="VESSELFORGE_WORKSPACE",
        callback=lambda given: given.absolute(),
        help="Folder of artifacts and runs.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a model (an artifact of `segmenter train`) or of a whole run, or the name "
        "of a model that comes along (see `segmenter models`).",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
NOTHING_WRITTEN = "stopping: nothing is written …"
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only say what would be done, what is there already, and how long it takes.",
    ),
]
FlipsOption = Annotated[
    bool, typer.Option("--flips", help="Average over the image and its three mirror images.")
]
FovWidthOption = Annotated[
    int | None,
    typer.Option(
        min=32,
        max=8192,
        metavar="PIXELS",
        help="Resize images for the network until their field of view is that many pixels wide, "
        "and the maps back; 540 for a model of DRIVE.  [default: no resizing]",
    ),
]


def verb(function: F) -> F:
    """A command whose expected failures are one line on standard error and an exit status."""

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            _fail(str(error), EXIT_USER_ERROR)
        except StageCrashed as error:
            _fail(f"{error}; the same command goes on from its last checkpoint", EXIT_CRASH)
        except Interrupted as error:
            _stopped(str(error))
        except KeyboardInterrupt:
            _stopped("interrupted; the same command goes on where this one stopped")

    return told  # type: ignore[return-value]


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(status)


def _stopped(message: str) -> None:
    typer.echo(" ".join(message.split()), err=True)
    raise typer.Exit(EXIT_INTERRUPTED)


def new_app(help_: str) -> typer.Typer:
    """A Typer application that leaves exceptions to Python and prints help when given nothing."""
    return typer.Typer(
        help=help_,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def new_display() -> Display:
    """Bars on a terminal, plain lines elsewhere; on standard error, so that results stay apart."""
    from rich.console import Console

    from vesselforge.engine.sinks.display import Display

    return Display(Console(stderr=True))


@contextlib.contextmanager
def working(what: str, stopping: str = "") -> Iterator[Bus]:
    """A display of one piece of work, and what that reports to.

    stopping: what is said when Ctrl-C asks the work to stop; without, Ctrl-C ends it at once.
    """
    from vesselforge.engine.sinks.display import shown

    with shown(new_display()) as display, contextlib.ExitStack() as stack:
        if stopping:
            stack.enter_context(display.listening(stopping))
        yield display.begin(what)


def print_json(value: Any) -> None:
    """The result for machines, on standard output."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def print_table(rows: list[dict[str, Any]], title: str = "") -> None:
    """Rows of equal keys as a table on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(plain(value) for value in row.values()))
    # In a file or a pipe there is no width to fit: 200 columns break no line of ours.
    # No markup: what is in brackets is part of a name.
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


def print_preview(targets: list[Work], workspace: Path, json_: bool) -> None:
    """What is there, what is to do, and how long that took before."""
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.preview import preview, whole

    rows = preview(targets, Store(workspace))
    minutes = whole(rows)
    if json_:
        print_json({"stages": rows, "minutes": minutes})
        return
    print_table(rows, "if no synthetic image is rejected")
    left = sum(row["to do"] for row in rows)
    if minutes is None:
        typer.echo(f"{left} stages to do; how long is known once each kind was made before")
    else:
        typer.echo(f"{left} stages to do, about {minutes:g} minutes one after the other")


def plain(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return str(value)


def add_step(app: typer.Typer, name: str, last: str, help_: str) -> None:
    """A verb that does the pipeline's steps up to `last` without Prefect, and prints what came."""

    def step(
        config: ConfigArgument,
        set_: SetOption = None,
        workspace: WorkspaceOption = WORKSPACE,
        json_: JsonOption = False,
    ) -> None:
        from vesselforge.configs.load import load
        from vesselforge.configs.settings import PipelineConfig

        settings = load(PipelineConfig, config, set_ or [])
        from vesselforge.pipeline.models.score_rows import figure_rows
        from vesselforge.pipeline.run_works import remarks_on_step, run_until

        artifact = run_until(last, settings, workspace, new_display())
        remarks = remarks_on_step(last, settings, workspace, artifact)
        if json_:
            content = {"kind": artifact.kind, "digest": artifact.digest, "path": artifact.path}
            print_json(content | {"metrics": artifact.metrics, "remarks": remarks})
            return
        print_table(figure_rows(artifact.metrics))
        for remark in remarks:
            typer.echo(remark)
        typer.echo(f"artifact: {artifact.path}")

    app.command(name, help=help_)(verb(step))
