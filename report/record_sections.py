"""What the pages of a run and of a study say alike of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vesselforge.configs.base import Settings
from vesselforge.engine.documents import flat
from vesselforge.report.formatting import duration, plain, spoken
from vesselforge.report.page import Block, Section, Table, Text, folded


def record_sections(record: Mapping[str, Any], kind: type[Settings]) -> list[Section]:
    """Provenance, then settings. kind: whose defaults the settings are held against."""
    steps = steps_table(record)
    made: list[Block] = [Text(_DIGEST, "quiet"), folded(steps)] if steps else []
    return [
        Section("provenance", "Provenance", made, "run.json lists no steps."),
        Section(
            "settings",
            "Settings",
            [folded(settings_table(record, kind))],
            "run.json holds no settings.",
        ),
    ]


_DIGEST = (
    "A digest is the hash of a stage, its settings and its inputs: the same work has the same "
    "digest. The manifest in its folder of the store says inputs, versions, device and times."
)


def settings_table(record: Mapping[str, Any], kind: type[Settings]) -> Table:
    """Every setting, and its default where that differs."""
    defaults = dict(flat(kind.model_validate({}).model_dump(mode="json"), lists=True))
    rows = [
        [name, plain(value), plain(usual) if (usual := defaults.get(name, value)) != value else ""]
        for name, value in flat(record["config"], lists=True)
    ]
    return Table("All settings", ["Setting", "Value", "Default, if another"], rows, names=3)


def steps_table(record: Mapping[str, Any]) -> Table:
    """Every step in the order it ran."""
    rows = [
        {
            "Step": spoken(str(step["step"])),
            "Stage": step["kind"],
            "Digest": step["digest"],
            "Reused": "yes" if step.get("reused") else "no",
            "In this run": duration(step.get("seconds")),
        }
        for step in record["steps"]
    ]
    return Table.of("Steps of this run", rows, names=3)
