"""Every verb, as the command line itself knows it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from cells import cell, paragraphs, plain

from vesselforge.cli.main import main

VALUES = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def verbs(command: Any = None, name: str = "vesselforge") -> Iterator[tuple[str, Any]]:
    """Full name and command of each, in the order of the help."""
    for word, inner in (command or typer.main.get_command(main)).commands.items():
        if hasattr(inner, "commands"):
            yield from verbs(inner, f"{name} {word}")
        else:
            yield f"{name} {word}", inner


def commands() -> str:
    """Markdown: a table of all verbs, then each with its arguments and options."""
    found = list(verbs())
    rows = "".join(
        f"| [`{name.partition(' ')[2]}`](#{_anchor(name)}) | {cell(_help(command)[0])} |\n"
        for name, command in found
    )
    return "\n".join(
        [f"| verb | does |\n| --- | --- |\n{rows}", *(_section(*one) for one in found)]
    )


def _section(name: str, command: Any) -> str:
    examples = (command.epilog or "").replace("\b", "").strip()
    parts = [
        f"## `{name}` {{: #{_anchor(name)} }}",
        *_help(command),
        f"```text\n{name} {' '.join(_usage(command))}\n\n{examples}".strip() + "\n```",
        "| | is | default |\n| --- | --- | --- |\n" + "".join(map(_row, command.params)),
    ]
    return "\n\n".join(parts)


def _anchor(name: str) -> str:
    return name.partition(" ")[2].replace(" ", "-")


def _help(command: Any) -> list[str]:
    return paragraphs(command.help or "")


def _usage(command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    for one in arguments:
        yield _value(one) if one.required else f"[{_value(one)}]"
    for one in command.params:
        if one not in arguments and one.required:
            yield f"{one.opts[0]} {_value(one)}"
    yield "[OPTIONS]"


def _value(parameter: Any) -> str:
    """What is written for it."""
    if parameter.param_type_name == "argument":
        word = parameter.metavar or parameter.name.strip("_").upper()
        return str(word) if parameter.nargs == 1 or word.endswith("...") else f"{word}..."
    if parameter.metavar:
        return str(parameter.metavar)
    kind, *_ = _kinds(parameter.type_descriptor.annotation)
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    return "|".join(choices) or VALUES[kind]


def _kinds(annotation: Any) -> list[Any]:
    """The types that values have, without None and lists."""
    if typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
    return [] if annotation is type(None) else [annotation]


def _row(parameter: Any) -> str:
    about, _, default = (parameter.help or "").partition("  [default: ")
    default = plain(default.removesuffix("]")) or _default(parameter)
    if parameter.param_type_name == "argument":
        names = [_value(parameter)]
    else:
        value = "" if parameter.is_flag else f" {_value(parameter)}"
        names = [f"{word}{value}" for word in (*parameter.opts, *parameter.secondary_opts)]
    return f"| {', '.join(f'`{name}`' for name in names)} | {cell(about)} | {cell(default)} |\n"


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    limits = [f"≥ {parameter.min:g}"] if parameter.min is not None else []
    limits += [f"≤ {parameter.max:g}"] if parameter.max is not None else []
    if parameter.required:
        said = "required"
    elif getattr(parameter, "is_flag", False):
        said = "on" if value else "off"
    elif isinstance(parameter.show_default, str):
        said = plain(parameter.show_default)
    else:
        said = "–" if value is None else f"`{value}`"
    return said + (f" ({', '.join(limits)})" if limits else "")
