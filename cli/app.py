"""The application: how a verb is registered, how it fails, how its help is laid out."""

from __future__ import annotations

import functools
import inspect
import io
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import typer
from pydantic import ValidationError
from typer.core import TyperGroup
from typer.models import OptionInfo

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Interrupted

F = TypeVar("F", bound=Callable[..., Any])
EXIT_USER_ERROR, EXIT_CRASH, EXIT_INTERRUPTED = 2, 1, 130
USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""What Typer raises for whatever is typed wrong; its name differs from version to version."""
WIDEST = 100
"""Columns of a help text: longer lines are hard to read."""


def verb(
    app: typer.Typer, name: str | None = None, *, example: str, **options: Any
) -> Callable[[F], F]:
    """A command of `app`; expected failures are one line on standard error and an exit status.

    example: command lines that the help ends with, one a line, each beginning with `vesselforge`.
    """

    def registered(function: F) -> F:
        @functools.wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except UserError as error:
                end(f"error: {as_typed(str(error), function, kwargs)}", EXIT_USER_ERROR)
            except StageCrashed as error:
                end(
                    f"error: {error}; the same command goes on from its last checkpoint", EXIT_CRASH
                )
            except UnicodeEncodeError as error:  # of a path that was named, say
                around = error.object[max(0, error.start - 80) : error.end + 20]
                end(f"error: {around}: a name is not UTF-8 text: rename it", EXIT_USER_ERROR)
            except Interrupted as error:
                end(str(error), EXIT_INTERRUPTED)
            except KeyboardInterrupt:
                end(
                    "interrupted; the same command goes on where this one stopped", EXIT_INTERRUPTED
                )

        lines = example.strip().splitlines()
        epilog = "\n".join(["\b", "For example:", *(f"  {line.strip()}" for line in lines)])
        app.command(name, epilog=epilog, **options)(told)
        return function

    return registered


def as_typed(message: str, function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """The message with the options that were typed, `--psi`, in place of the arguments and settings
    that they stand for: those of their name, `psi: ` or `data.group: `."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        notes = getattr(hints[name], "__metadata__", ())
        option = next((note for note in notes if isinstance(note, OptionInfo)), None)
        value = given.get(name, parameter.default)
        if option is None or value == parameter.default or isinstance(value, Path):
            continue
        words = map(str, (option.default, *(option.param_decls or ())))  # the first is its default
        long = next((word for word in words if word.startswith("--")), None)
        setting = rf"(?:^.*\.yaml: )?(?<![\w./-])(?:data: |data\.|teacher\.)?{name}(?:: |\.(?=\w))"
        message = re.sub(setting, f"{long or '--' + name.replace('_', '-')}: ", message)
    return message


def end(message: str, status: int) -> NoReturn:
    """One line on standard error, and the exit status. Spaces of other kinds belong to names."""
    typer.echo(re.sub(r"[ \t\r\n\v\f]+", " ", message.strip()), err=True)
    raise typer.Exit(status)


class Group(TyperGroup):
    """Verbs. What is typed wrong is one line, as every other error; nothing typed is `--help`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asked = args or ctx.resilient_parsing
        return super().parse_args(ctx, args if asked else ["--help"])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except USAGE as error:
            end(f"error: {in_words(error)}", EXIT_USER_ERROR)

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **more: Any) -> Any:
        try:
            return super().make_context(info_name, args, parent, **more)
        except USAGE as error:
            end(f"error: {in_words(error)}", EXIT_USER_ERROR)


def in_words(error: Any) -> str:
    """What was typed wrong, what was found, and where help is."""
    said = error.format_message().strip().rstrip(".")
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        said += f" (found {cause.errors()[0]['input']!r})"
    help_ = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
    return f"{said[:1].lower()}{said[1:]}{help_}"


class App(typer.Typer):
    """A Typer application whose output no terminal or pipe can refuse: what its encoding lacks is
    written as \\u2500."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().__call__(*args, **kwargs)


def new_app(help_: str, completion: bool = False) -> typer.Typer:
    """A Typer application that leaves exceptions to Python. Help is plain text: markup would eat
    what stands in brackets. completion: with options that install it."""
    return App(
        help=help_,
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=completion,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    )
