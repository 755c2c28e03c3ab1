"""What the check of a dataset warned of, in one line: whoever trains or scores prints it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from vesselforge.configs.settings import DataSettings
from vesselforge.engine.documents import records

CHECK = "check.json"
"""What `data.prepare` leaves of the check in an artifact: `Report.to_dict`."""


def warning_line(found: Mapping[str, Any], data: DataSettings | str) -> str:
    """How many warnings, the first of them, and the command that lists all; empty without any.

    found: as `check.json` holds it, or `Report.to_dict`. data: the settings of the dataset, or its
    name or folder as it was given.
    """
    told = [
        f"{problem.get('file')}: {problem.get('sentence')}"
        for problem in records(found.get("problems"))
        if problem.get("severity") == "warning"
    ]
    if not told:
        return ""
    count = "1 warning" if len(told) == 1 else f"{len(told)} warnings, the first"
    return f"{found.get('name')}: {count}: {told[0]}; `{check_command(data)}` lists all"


def check_command(data: DataSettings | str) -> str:
    """The command line that checks this dataset."""
    words = ["vesselforge", "data", "check"]
    if isinstance(data, str):
        return shlex.join([*words, data])
    words.append(data.name)
    words += ["--root", str(data.root)] if data.root else []
    words += ["--pattern", data.pattern] if data.pattern else []
    return shlex.join(words)
