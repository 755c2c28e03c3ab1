"""What the check of a dataset warned of, in one line: whoever trains or scores prints it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from vesselforge.configs.plain_yaml import parse
from vesselforge.configs.settings import DataSettings
from vesselforge.engine.documents import flat, records

MOST_GIVEN = 12
"""Values of a setting that a command spells out; a folder has hundreds of identifiers."""
_BEFORE = "; `"
CHECK = "check.json"
"""What `data.prepare` leaves of the check in an artifact: `Report.to_dict`."""


def warning_line(found: Mapping[str, Any], data: DataSettings) -> str:
    """How many warnings, the first of them, and the command that lists all; empty without any.

    found: as `check.json` holds it, or `Report.to_dict`. data: the settings of the dataset.
    """
    told = [
        f"{problem.get('file')}: {problem.get('sentence')}"
        for problem in records(found.get("problems"))
        if problem.get("severity") == "warning"
    ]
    if not told:
        return ""
    count = "1 warning" if len(told) == 1 else f"{len(told)} warnings, the first"
    return f"{found.get('name')}: {count}: {told[0]}{_BEFORE}{check_command(data)}` lists all"


def told_apart(line: str) -> str:
    """The line without the command: parts of one dataset, or folds of it, warn of the same."""
    return line.rpartition(_BEFORE)[0]


def check_command(data: DataSettings) -> str:
    """The command line that checks the dataset of these settings, but for long lists in them."""
    given = data.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    for name, value in list(given.items()):
        if isinstance(value, list | dict) and len(value) > MOST_GIVEN:
            del given[name]
    words = ["vesselforge", "data", "check", data.name]
    for name, value in flat(given, lists=True):
        options = {"root": ["--root", value], "pattern": ["--pattern", value]}
        words += options.get(name) or ["--set", f"{name}={_written(value)}"]
    return shlex.join(words)


def _written(value: Any) -> str:
    """A value in YAML, bare where that is read as the same text."""
    if isinstance(value, str) and parse(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
