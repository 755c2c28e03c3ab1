"""What the pages of a run and of a study say alike of how they came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vesselforge.configs.base import Settings
from vesselforge.engine.artifacts import Artifact
from vesselforge.report.formatting import ABSENT, duration, flat, plain, spoken
from vesselforge.report.page import Block, Section, Table, Text, folded


def record_sections(
    record: Mapping[str, Any], kind: type[Settings], artifacts: Iterable[Artifact] = ()
) -> list[Section]:
    """Provenance, then settings. kind: whose defaults the settings are held against; artifacts: of
    the steps, as far as they are there."""
    known = {one.digest: one for one in artifacts}
    steps = steps_table(record["steps"], known)
    intro = Text(_DIGEST + (_CHECKED if known else ""), "quiet")
    made: list[Block] = [intro, folded(steps)] if steps else []
    settings = folded(settings_table(record, kind))
    return [
        Section("provenance", "Provenance", made, "run.json lists no steps."),
        Section("settings", "Settings", [settings], "run.json holds no settings."),
    ]


_DIGEST = (
    "A digest is the hash of a stage, its settings and its inputs: the same work has the same "
    "digest."
)
_CHECKED = " Every file shown on this page was checked against the SHA-256 in its manifest."


def settings_table(record: Mapping[str, Any], kind: type[Settings]) -> Table:
    """Every setting, and its default where that differs."""
    defaults = dict(flat(kind.model_validate({}).model_dump(mode="json")))
    rows = [
        [name, plain(value), plain(usual) if (usual := defaults.get(name, value)) != value else ""]
        for name, value in flat(record["config"])
    ]
    return Table("All settings", ["Setting", "Value", "Default, if another"], rows, names=3)


def steps_table(steps: Iterable[dict[str, Any]], artifacts: Mapping[str, Artifact]) -> Table:
    """Every step in the order it ran."""
    steps = list(steps)
    names = {step["digest"]: spoken(str(step["step"])) for step in steps}
    rows = [
        {
            "Step": names[step["digest"]],
            "Stage": step["kind"],
            "Digest": step["digest"],
            "Reused": "yes" if step.get("reused") else "no",
            "In this run": duration(step.get("seconds")),
            **_making(artifacts.get(step["digest"]), names),
        }
        for step in steps
    ]
    return Table.of("Steps of this run", rows, names=3)


def _making(artifact: Artifact | None, names: Mapping[str, str]) -> dict[str, str]:
    """What its manifest says of an artifact's making."""
    if artifact is None:
        return {}
    manifest = artifact.manifest
    inputs = [f"{spoken(role)}: {names.get(d, d)}" for role, d in manifest["inputs"].items()]
    versions = [f"{name} {version}" for name, version in manifest.get("versions", {}).items()]
    return {
        "To make": duration(manifest.get("seconds")),
        "Device": str(manifest.get("device") or ABSENT),
        "Made from": ", ".join(inputs) or ABSENT,
        "Made with": ", ".join(versions) or ABSENT,
    }
