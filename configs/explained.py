"""Every setting in words: meaning, type, range and default, from the JSON schema of the models,
which is what forms are made from, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from vesselforge.configs.base import Settings
from vesselforge.configs.errors import ConfigError

ANY = "NAME"
"""In a path: a name that the user chooses, as in `sources.NAME.kind`."""
GROUP = "group"
"""Type of what holds further settings."""
NEAREST = 5
"""Paths that an error offers."""
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}
Schema = Mapping[str, Any]


class Setting(NamedTuple):
    """One setting. path: dotted; kinds: of the source that has it, where not all do; type: with its
    range, in words, or GROUP; default: None where it is left empty."""

    path: str
    kinds: tuple[str, ...]
    type: str
    default: Any
    meaning: str

    def row(self) -> dict[str, Any]:
        """For a table, and for JSON."""
        of = f"kind {', '.join(self.kinds)}: " if self.kinds else ""
        return {
            "setting": self.path,
            "type": self.type,
            "default": self.default,
            "meaning": of + self.meaning,
        }


def explain(model: type[Settings], path: str = "") -> list[Setting]:
    """A setting by its path, one for each kind of source that has it otherwise; or what is in a
    group, the first of them the group itself; without a path what is on top.

    Raises ConfigError, with the nearest paths, for one that there is not.
    """
    every = every_setting(model)
    if not path:
        return [each for each in every if "." not in each.path]
    found = [each for each in every if _fits(each.path, path)]
    inside = [each for each in every if _fits(_parent(each.path), path)]
    inside += [each for each in every if _fits(_parent(each.path), f"{path}.{ANY}")]
    if not found and not inside:
        raise ConfigError(f"{path}: no such setting; {_nearest(path, [s.path for s in every])}")
    return found + inside


def every_setting(model: type[Settings]) -> list[Setting]:
    """All groups and settings, outer ones first."""
    schema = model.model_json_schema()
    return [*_walk("", schema, schema.get("$defs", {}))]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _walk(path: str, node: Schema, defs: Mapping[str, Schema]) -> Iterator[Setting]:
    """All settings below a node, outer ones first."""
    inside: dict[tuple[str, str], tuple[Schema, list[str]]] = {}
    variants = _groups(node, defs)
    for kind, group in variants:
        for name, field in group.items():
            if name != "kind" or len(variants) == 1:
                same = inside.setdefault((name, json.dumps(field)), (field, []))
                same[1].append(kind)
    if len(variants) > 1:
        names = [kind for kind, _ in variants]
        yield Setting(f"{path}.kind", (), _one_of(names), names[0], "which kind it is")
    for (name, _), (field, kinds) in inside.items():
        own = f"{path}.{name}".lstrip(".")
        is_group = bool(_groups(field, defs))
        default = None if is_group else field.get("default")
        meaning = " ".join(str(field.get("description", "")).split())
        some = tuple(kinds) if len(kinds) < len(variants) else ()
        if name != ANY:
            yield Setting(own, some, GROUP if is_group else _words(field, defs), default, meaning)
        yield from _walk(own, field, defs)


def _groups(node: Schema, defs: Mapping[str, Schema]) -> list[tuple[str, Mapping[str, Schema]]]:
    """Kind → the fields of each group of settings that a value of this type may be, or hold under
    names of the user's."""
    node = _resolved(node, defs)
    if "properties" in node:
        fields = node["properties"]
        return [(str(fields.get("kind", {}).get("const", "")), fields)]
    held = node.get("additionalProperties")
    if isinstance(held, dict) and _groups(held, defs):
        return [("", {ANY: held})]
    among = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    return [group for each in among for group in _groups(each, defs)]


def _resolved(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    return defs[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _words(node: Schema, defs: Mapping[str, Schema]) -> str:
    """`integer, at least 1, at most 1024, or empty`."""
    node = _resolved(node, defs)
    if "enum" in node:
        return _one_of(node["enum"])
    if "const" in node:
        return str(node["const"])
    if among := [*node.get("anyOf", ()), *node.get("oneOf", ())]:
        return ", or ".join(dict.fromkeys(_words(each, defs) for each in among))
    kind = str(node.get("type"))
    if kind == "array":
        each = node.get("prefixItems") or [node["items"]]
        return f"list of {', '.join(_words(one, defs) for one in each)}"
    if kind == "object":
        return f"names with {_words(node.get('additionalProperties') or {}, defs)}"
    names = {"null": "empty", "boolean": "true or false", "string": node.get("format", "text")}
    bounds = [words.format(node[key]) for key, words in BOUNDS.items() if key in node]
    if {"minimum", "maximum"} <= node.keys():
        bounds = [f"{node['minimum']} to {node['maximum']}", *bounds[2:]]
    return ", ".join([names.get(kind, kind), *bounds])


def _one_of(values: list[Any]) -> str:
    return f"one of {', '.join(map(str, values))}"


def _fits(path: str, given: str) -> bool:
    """Whether a path is the one that was given, with any name for ANY."""
    one, other = path.split("."), given.split(".")
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a in (b, ANY) for a, b in pairs)


def _nearest(given: str, paths: list[str]) -> str:
    """Paths that end so, then those that are spelled alike."""
    leaves = {path.rpartition(".")[2] for path in paths}
    words = get_close_matches(given.rpartition(".")[2], leaves, n=1)
    ends = [path for path in paths if path.rpartition(".")[2] in words]
    alike = get_close_matches(given, paths, n=NEAREST)
    near = list(dict.fromkeys([*ends, *alike]))[:NEAREST]
    tops = [path for path in paths if "." not in path]
    return f"the nearest: {', '.join(near)}" if near else f"the groups: {', '.join(tops)}"
