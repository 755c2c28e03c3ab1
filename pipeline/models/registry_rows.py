"""Lines of models as tables, for the terminal and for Prefect's pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vesselforge.pipeline.models.registry import Line

SHOWN = 20
"""Events that a table shows, the newest; the registry and `--json` have all."""


def line_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """One row a line."""
    return [
        {
            "name": line.name,
            "champion": line.champion.number if line.champion else None,
            "since": line.events[-1].at if line.events else None,
            "validation F1": line.champion.f1 if line.champion else None,
            "versions": len(line.versions),
        }
        for line in lines
    ]


def version_rows(line: Line) -> list[dict[str, Any]]:
    """One row a version, oldest first."""
    return [
        {
            "version": version.number,
            "made": version.made,
            "images": version.images,
            "left out": version.quarantined,
            "validation F1": version.f1,
            "verdict": version.verdict,
            "against champion": version.comparison.difference if version.comparison else None,
            "at least": version.comparison.low if version.comparison else None,
            "serves": "champion" if line.champions[-1:] == [version.number] else "",
            "model": "pruned" if version.model is None else "kept",
        }
        for version in line.versions
    ]


def event_rows(line: Line) -> list[dict[str, Any]]:
    """The newest events, oldest first."""
    return [
        {"at": e.at, "what": e.what, "champion": e.version, "was": e.was, "why": e.why}
        for e in line.events[-SHOWN:]
    ]
