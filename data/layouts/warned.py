"""What the check of a dataset warned of, in one line: whoever trains or scores prints it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from vesselforge.configs.settings import DataSettings
from vesselforge.engine.documents import records

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
    place = ["--root", str(data.root)] if data.root else []
    command = shlex.join(["vesselforge", "data", "check", data.name, *place])
    return f"{found.get('name')}: {count}: {told[0]}; `{command}` lists all"
