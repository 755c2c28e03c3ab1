"""What the pages of a run and of a study say alike of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vesselforge.configs.base import Settings
from vesselforge.engine.documents import flat
from vesselforge.report.formatting import duration, plain, spoken
from vesselforge.report.page import Section, Table, Text, folded

WARNINGS = "Warnings about the real images"
"""Title of what the check of them warned of, at the top of a page."""
_DIGEST = (
    "A digest is the hash of a stage, its settings and its inputs: the same work has the same "
    "digest. The manifest in its folder of the store says inputs, versions, device and times."
)


def record_sections(record: Mapping[str, Any], kind: type[Settings]) -> list[Section]:
    """Provenance: every step in the order it ran; then every setting, and its default where that
    differs. kind: whose defaults the settings are held against."""
    steps = [
        {
            "Step": spoken(str(step["step"])),
            "Stage": step["kind"],
            "Digest": step["digest"],
            "Reused": "yes" if step.get("reused") else "no",
            "In this run": duration(step.get("seconds")),
        }
        for step in record["steps"]
    ]
    made = [
        Text(_DIGEST if steps else "", "quiet"),
        folded(Table("Steps of this run", steps, names=3)),
    ]
    defaults = dict(flat(kind.model_validate({}).model_dump(mode="json"), lists=True))
    settings = [
        {
            "Setting": name,
            "Value": plain(value),
            "Default, if another": plain(usual) if usual != value else "",
        }
        for name, value in flat(record["config"], lists=True)
        for usual in [defaults.get(name, value)]
    ]
    all_settings = [folded(Table("All settings", settings, names=3))]
    return [
        Section("provenance", "Provenance", made, "run.json lists no steps."),
        Section("settings", "Settings", all_settings, "run.json holds no settings."),
    ]
