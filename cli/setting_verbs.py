"""`vesselforge settings` and `vesselforge init`: what a config may say, and a first one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.names import every_config, explained_names
from vesselforge.cli.verbs import (
    JsonOption,
    MaskValuesOption,
    PatternOption,
    as_table,
    print_result,
    working,
)
from vesselforge.configs.explained import GROUP, Setting, explain
from vesselforge.configs.load import find, load, read_yaml

KINDS = ("run", "study")


def settings(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A group, such as generator, or a setting, such as generator.preset.",
            show_default="the groups",
            autocompletion=explained_names,
        ),
    ] = "",
    config: Annotated[
        str,
        typer.Option(
            metavar="run|study|CONFIG",
            help="Of `run` or of `compare`; of a config, with the values there.",
            autocompletion=every_config,
        ),
    ] = "run",
    json_: JsonOption = False,
) -> None:
    """Say what a setting means, with its type, range and default.

    Each of them is changed in a config, or by --set PATH=VALUE.
    """
    from vesselforge.configs.settings import PipelineConfig
    from vesselforge.configs.study import StudyConfig

    given = {} if config in KINDS else read_yaml(find(config))
    of_study = config == "study" or "arms" in given
    model: Any = StudyConfig if of_study else PipelineConfig
    found = explain(model, path)
    rows = [each.row() for each in found]
    if given:
        rows = _beside(
            found, load(model, config).model_dump(mode="json"), f"in {Path(config).stem}"
        )
    if path and all(row["type"] != GROUP for row in rows):
        told: list[Any] = [line for row in rows for line in _lines(row)]
    else:
        told = [as_table([_cells(row) for row in rows])]
    print_result(json_, rows, *told)


def _beside(found: list[Setting], values: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """Rows with the values of a config, without the settings of kinds that it has not."""
    rows = []
    for each in found:
        *parents, last = each.path.split(".")
        kind = _value_at(values, [*parents, "kind"])
        if not each.kinds or kind is None or kind in each.kinds:
            value = None if each.type == GROUP else _value_at(values, [*parents, last])
            rows.append(each.row() | {column: value})
    return rows


def _value_at(values: Any, parts: list[str]) -> Any:
    """A value inside dicts; None where there is none."""
    for part in parts:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _lines(row: dict[str, Any]) -> list[str]:
    """A single setting, one fact a line."""
    facts = {name: value for name, value in row.items() if name not in ("setting", "meaning")}
    told = [f"  {name}: {_short(value)}" for name, value in facts.items()]
    return [f"{row['setting']}: {row['meaning']}", *told]


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """A row of the table, what is longest last."""
    names = [*(name for name in row if name != "meaning"), "meaning"]
    group = row["type"] == GROUP
    return {n: "" if group and row[n] is None else _short(row[n]) for n in names}


def _short(value: Any) -> str:
    """As it would be written in a config."""
    if value is None:
        return "empty"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def init(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="Your images and their masks, in any layout."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="To write.", show_default="FOLDER.yaml"),
    ] = None,
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    json_: JsonOption = False,
) -> None:
    """Look at a folder of images, and write a config for it.

    It says what was found there, and how the images are dealt; `vesselforge run` takes it as it
    is. Nothing is replaced.
    """
    from vesselforge.pipeline.run.first_config import first_config

    with working("looking at the images") as progress:
        file, found = first_config(folder, out, pattern, mask_values, progress)
    dry = f"vesselforge run {shlex.quote(str(file))} --dry-run"
    told = [*found, f"{file}: written; `{dry}` says what it would do"]
    print_result(json_, {"file": str(file), "found": found}, *told)
