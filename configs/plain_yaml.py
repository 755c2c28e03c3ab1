"""YAML as it is written: no word or number becomes something else before a setting asks for it.

YAML 1.1, which PyYAML reads, has `no` for false, `010` for 8, `1:30` for 90, dates, and of two
equal keys the last. Here a word stays text, and so does a number that would be written otherwise
(`01`, `1e-4`, `1_000`): the setting makes of it what it needs, or refuses it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import yaml

MOST_VALUES = 100_000
"""Of a config file."""
_TAG = "tag:yaml.org,2002:"
_NULLS = ("", "~", "null", "Null", "NULL")


class _Reader(yaml.SafeLoader):
    """Builds numbers and nulls where that loses nothing, else text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a node. implicit: of a scalar, whether it stands there without quotes."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAG + _kind(value)
        return str(super().resolve(kind, value, implicit))

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping whose keys are text, each given once. Raises ValueError for a repeated one."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ValueError(
                    f"found `{key.value}` twice in one group, lines {lines[key.value]} and {line}; "
                    "keep one of them"
                )
            lines[key.value] = line
            if key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
        return node


def _kind(text: str) -> str:
    """What an unquoted word is: a number only when that number is written in just this way."""
    if text == "<<":
        return "merge"
    if text in _NULLS:
        return "null"
    for kind in (int, float):
        with suppress(ValueError):  # no number, or one of thousands of digits
            number = kind(text)
            if str(number) == text and math.isfinite(number):
                return kind.__name__
    return "str"


def parse(text: str) -> Any:
    """The value of a YAML text. Raises ValueError for what is none, repeats a key, is nested too
    deeply, or is made large by aliases (each doubles what the one before stands for)."""
    try:
        reader = _Reader(text)
        try:
            values = reader.get_single_data()
        finally:
            reader.dispose()
        _count(values, [MOST_VALUES])
    except yaml.YAMLError as error:
        found = str(error).replace('in "<unicode string>", ', "in ")
        if "'\\t'" in found:
            found += "; this is a tab: write spaces"
        raise ValueError(found) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return values


def _count(value: Any, left: list[int]) -> None:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MOST_VALUES:,} values, aliases written out")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"found the key {key!r}, expected text")
            _count(inner, left)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _count(inner, left)
