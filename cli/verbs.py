"""What verbs share: the options of several, how they show work, how they print."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vesselforge.cli.app import verb
from vesselforge.cli.names import ConfigArgument, SetOption
from vesselforge.configs.base import expanded
from vesselforge.configs.load import load, parse
from vesselforge.engine.progress import Bus
from vesselforge.engine.sinks.display import new_display, shown

if TYPE_CHECKING:
    from rich.table import Table

    from vesselforge.pipeline.graph import Work


WORKSPACE = Path("workspace")
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        envvar="VESSELFORGE_WORKSPACE",
        callback=lambda given: expanded(given).absolute(),
        help="Folder of artifacts and runs.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ServerOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Prefect server to use, http://…/api.",
        show_default="$PREFECT_API_URL, else one of the run's own, which heeds no other settings "
        "of Prefect's",
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Own folders: regular expression with a group `id`, (?P<id>…), the same in names "
        "of an image, its mask and its FOV.",
    ),
]


def mapping(text: str) -> dict[str, Any]:
    """A YAML mapping in an option. Raises BadParameter for anything else."""
    try:
        found = parse(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"found {text!r}, expected {{value: meaning, …}}")
    return found


MaskValuesOption = Annotated[
    dict[str, str] | None,
    typer.Option(
        metavar="MAPPING",
        parser=mapping,
        help="What the values in masks mean where there are more than two, as data.mask_values: "
        "{0: background, 1: vessel, 255: ignore}, or colours, {'#ff0000': vessel, …}.",
    ),
]
WhichOption = Annotated[
    Literal["teacher", "student", "ensemble"] | None,
    typer.Option("--model", help="Of a run.", show_default="the best on its validation images"),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
NOTHING_WRITTEN = "stopping: nothing is written …"
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only say what would be done, what is there already, and how long."
    ),
]
FlipsOption = Annotated[
    bool, typer.Option("--flips", help="Average over the image and its three mirror images.")
]


def fov_width(text: str) -> int | str:
    """A value of --fov-width. Raises BadParameter."""
    if text in ("model", "native"):
        return text
    if text.isdecimal() and 32 <= int(text) <= 8192:
        return int(text)
    raise typer.BadParameter(f"found {text!r}, expected model, native or 32 to 8192 pixels")


FovWidthOption = Annotated[
    Any,
    typer.Option(
        parser=fov_width,
        metavar="model|native|PIXELS",
        help="How wide the field of view of an image is when the network sees it: as in its "
        "training, as it is, or that many pixels. Maps are always at the image's own size.",
    ),
]
RuntimeOption = Annotated[
    str, typer.Option(help="torch, fast or fast-bfloat16; auto: the fastest safe one.")
]


@contextlib.contextmanager
def working(what: str, stopping: str = "") -> Iterator[Bus]:
    """A display of one piece of work, and what that reports to.

    stopping: what is said when Ctrl-C asks the work to stop; without, Ctrl-C ends it at once.
    """
    with shown(new_display()) as display, contextlib.ExitStack() as stack:
        if stopping:
            stack.enter_context(display.listening(stopping))
        yield display.begin(what)


def print_result(json_: bool, result: Any, *told: str | Table) -> None:
    """What came of a verb on standard output: for machines as JSON, for people line by line."""
    if json_:
        plain_text = "utf" not in (sys.stdout.encoding or "").lower()
        typer.echo(json.dumps(result, indent=1, ensure_ascii=plain_text, default=str))
        return
    from rich.console import Console

    for part in told:
        if isinstance(part, str):
            typer.echo(part)
        else:
            # In a file or a pipe there is no width to fit: 200 columns break no line of ours.
            # No markup: what is in brackets is part of a name.
            Console(width=None if sys.stdout.isatty() else 200, markup=False).print(part)


def as_table(rows: list[dict[str, Any]], title: str = "") -> Table:
    """Rows of equal keys for `print_result`."""
    from rich import box
    from rich.table import Table

    found = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for name in rows[0] if rows else ():
        found.add_column(name, overflow="fold")
    for row in rows:
        found.add_row(*(plain(value) for value in row.values()))
    return found


def plain(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return str(value)


def print_preview(targets: list[Work], odd: list[str], workspace: Path, json_: bool) -> None:
    """What is there, what is to do, how long that took before, and what is odd about the images."""
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.preview import in_words, outlook

    found = outlook(targets, Store(workspace)) | {"warned": odd}
    synthetic = any(row["stage"] == "segmenter.pseudo-label" for row in found["stages"])
    shown = as_table(found["stages"], "if no synthetic image is rejected" if synthetic else "")
    named = [f"begins with the model {name}: {what}" for name, what in found["starts"].items()]
    named += [f"{step}: {what}" for step, what in found["earlier"].items()]
    print_result(json_, found, shown, *named, *odd, in_words(found["stages"]))


def add_step(app: typer.Typer, name: str, last: str, help_: str, example: str) -> None:
    """A verb that does the pipeline's steps up to `last` without Prefect, and prints what came."""

    @verb(app, name, help=help_, example=example)
    def step(
        config: ConfigArgument,
        set_: SetOption = None,
        workspace: WorkspaceOption = WORKSPACE,
        json_: JsonOption = False,
    ) -> None:
        from vesselforge.configs.settings import PipelineConfig

        settings = load(PipelineConfig, config, set_ or [])
        from vesselforge.pipeline.models.score_rows import figure_rows
        from vesselforge.pipeline.run.run_works import remarks_on_step, run_until

        made = run_until(last, settings, workspace, new_display())
        remarks = remarks_on_step(last, settings, workspace, made)
        result = {"kind": made.kind, "digest": made.digest, "path": made.path}
        result |= {"metrics": made.metrics, "remarks": remarks}
        figures = as_table(figure_rows(made.metrics))
        print_result(json_, result, figures, *remarks, f"artifact: {made.path}")
