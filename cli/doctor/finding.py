"""What the doctor finds."""

from __future__ import annotations

from typing import Literal, NamedTuple

GIB = 2**30


class Finding(NamedTuple):
    """state: `broken` would stop a run; a `warning` will not, but is worth a look. hint: what to
    do about it."""

    name: str
    found: str
    state: Literal["ok", "warning", "broken"] = "ok"
    hint: str = ""
