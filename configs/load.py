"""YAML → validated settings, with `a.b=value` overrides. Every problem is one ConfigError."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from vesselforge.configs.base import Settings, as_given, as_written
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.plain_yaml import parse
from vesselforge.configs.sources import SOURCES, SourceSettings

S = TypeVar("S", bound=Settings)
Given = Path | str | Mapping[str, Any] | Settings
"""A config as a Python program has it."""
SHIPPED = Path(__file__).parent
MOST_BYTES = 1_000_000
"""Of a config file."""
MARKS = {
    "study": ("compare", {"arms"}),
    "run": ("run", {"source", "order", "ensembles", "iterate", "retrain"}),
}
"""Kind of config → the verb that takes it, and groups that no other kind has."""
MOST_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def load(model: type[S], path: Path | str, overrides: Sequence[str] = ()) -> S:
    """Read a YAML file (or the name of a shipped one), apply overrides, validate.

    Raises ConfigError naming the file, the field, the value found and what is allowed.
    """
    file = find(path)
    return _changed(model, read_yaml(file), map(_parsed, overrides), str(file))


def override(settings: S, overrides: Sequence[str] | None, source: str = "overrides") -> S:
    """The settings with some of them changed, `a.b=value` each, validated anew: as if the changes
    had stood beside what was given. source: what a message calls them."""
    if not overrides:
        return settings
    return _changed(type(settings), as_given(settings), map(_parsed, overrides), source)


def load_any(model: type[S], config: Given, overrides: Mapping[str, Any] | None = None) -> S:
    """Settings as a Python program has them, some of them changed, `{"a.b": value}`: as `load`.

    config: a path or the name of a shipped config; a dict of what would stand in such a file; or
    settings. Raises ConfigError as `load`, and for settings of another kind.
    """
    given = {} if overrides is None else overrides
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise ConfigError(
            f"overrides: found {given!r:.{MOST_SHOWN}}, expected a dict of setting → value, such "
            'as {"teacher.steps": 300}'
        )
    changes = [(key, as_given(value)) for key, value in given.items()]
    if isinstance(config, str | Path):
        file = find(config)
        return _changed(model, read_yaml(file), changes, str(file))
    if not isinstance(config, model | Mapping):
        raise ConfigError(
            f"config: found a {type(config).__name__}, expected a {model.__name__}, a dict, a path "
            "or the name of a shipped config"
        )
    return _changed(model, as_given(config), changes, "config")


def find(path: Path | str) -> Path:
    """The file itself, or a shipped one by its name: `configs/**/<name>[.yaml]`."""
    file = Path(path)
    if file.is_file():
        return file
    shipped = {p.stem: p for p in SHIPPED.rglob("*.yaml")}
    name = file.name.removesuffix(".yaml")
    if len(file.parts) == 1 and name in shipped:
        return shipped[name]
    names = ", ".join(sorted(shipped))
    beside = file.with_name(f"{file.name}.yaml")
    meant = f"did you mean `{beside}`? " if beside.is_file() else ""
    raise ConfigError(
        f"{path}: no such config file; {meant}give a path or one of the shipped: {names}"
    )


def _changed(
    model: type[S], values: dict[str, Any], changes: Iterable[tuple[str, Any]], source: str
) -> S:
    for key, value in changes:
        _apply(values, key, value)
    return validate(model, values, source)


def shipped(study: bool) -> list[str]:
    """Names of the shipped configs: of studies, which have `arms`, or of runs."""
    found = {path.stem: path.read_text("utf-8") for path in SHIPPED.rglob("*.yaml")}
    return sorted(name for name, text in found.items() if ("\narms:" in text) == study)


def validate(model: type[S], values: dict[str, Any], source: str) -> S:
    """Build the model or raise one ConfigError that lists every wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        if meant := _of_another_kind(model, values):
            raise ConfigError(f"{source}: {meant}") from None
        problems = "; ".join(_explain(e, model) for e in error.errors())
        raise ConfigError(f"{source}: {problems}") from None


def _of_another_kind(model: type[Settings], values: Mapping[str, Any]) -> str:
    """That these are the settings of a study, say, where those of a run are wanted; else empty."""
    marks = {mark for _, names in MARKS.values() for mark in names}
    own = marks & model.model_fields.keys()
    for kind, (verb, names) in MARKS.items():
        found = [key for key in values if key in names]
        if own and found and not own & values.keys():
            meant = f"found `{found[0]}`, so this is the config of a {kind}"
            return f"{meant}: `vesselforge {verb}` takes it"
    return ""


def read_yaml(file: Path) -> dict[str, Any]:
    """The settings in a file, not validated. Raises ConfigError for what is no YAML mapping."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        values = parse(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())[:500]
        raise ConfigError(f"{file}: not readable as YAML: {text}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected `key: value` lines, found a {type(values).__name__}")
    return values


def _parsed(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected key.sub_key=value")
    try:
        return key, parse(text)
    except ValueError:
        raise ConfigError(f"--set {override}: the value is not readable as YAML") from None


def _apply(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.strip().split(".")
    here = values
    for name in parents:
        inner = here.setdefault(name, {})
        if isinstance(inner, str) and inner in SOURCES:  # `source: phantom`
            inner = here[name] = {"kind": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"{key.strip()}: `{name}` is a value, not a group of settings")
        here = inner
    here[last] = value


def _explain(error: Any, model: type[Settings]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{_nearest(error['loc'], model)}"
    if error["type"] == "union_tag_invalid":
        kinds = error["ctx"]["expected_tags"].replace("'", "")
        return f"{where}.kind: found {error['ctx']['tag']!r}, expected one of {kinds}"
    if error["type"] == "union_tag_not_found":
        return f"{where}.kind: missing; say which kind it is"
    message = error["msg"].removeprefix("Value error, ")
    shown = as_written(error["input"])
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"
    found = "" if error["type"] == "value_error" else f" (found {shown})"
    word = error["type"] in ("string_type", "path_type") and not isinstance(
        error["input"], list | dict
    )
    advice = "; put it in quotes if it is a name" if word else ""
    prefix = f"{where}: " if where else ""
    return f"{prefix}{message[0].lower()}{message[1:]}{found}{advice}"


def _nearest(loc: tuple[Any, ...], model: type[Settings]) -> str:
    """What an unknown key may mean: a setting of the group in which it stands."""
    groups = [model]
    for part in loc[:-1]:
        fields = (group.model_fields[part] for group in groups if part in group.model_fields)
        if inside := [found for field in fields for found in _groups(field.annotation)]:
            groups = inside
        else:  # the kind of a source, the key of a dict or the place in a list
            groups = [g for g in groups if _kind(g) == part] or groups
    names = [name for group in groups for name in group.model_fields]
    close = difflib.get_close_matches(str(loc[-1]), names, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; allowed: {', '.join(names)}"


def _groups(type_: Any) -> list[type[Settings]]:
    """The settings models that a value of this type may be, or hold."""
    if type_ is SourceSettings:
        return [*SOURCES.values()]
    if isinstance(type_, type) and issubclass(type_, Settings):
        return [type_]
    return [group for part in get_args(type_) for group in _groups(part)]


def _kind(group: type[Settings]) -> Any:
    return group.model_fields["kind"].default if "kind" in group.model_fields else None
