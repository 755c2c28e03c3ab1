"""The whole pipeline as small as it gets, and what it leaves in a workspace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.store import whole_artifact

SEGMENTER = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1}
SEGMENTER |= {"validate_every": 2, "checkpoint_every": 1}
SHORT = {"steps": 4, "validate_every": 2}
TINY: dict[str, dict[str, Any]] = {
    "data.phantom": {"train": 3, "validation": 2, "test": 2, "size": 64},
    "teacher": SEGMENTER,
    "student": SEGMENTER,
    "source": {"kind": "stylegan2", "labels": "teacher"},
    "generator": {
        "preset": None,
        "start_from": None,
        "resolution": 16,
        "channel_base": 256,
        "channel_max": 16,
        "latent": 16,
        "batch": 4,
        "kimg": 0.064,
        "snapshot_kimg": 0.032,
        "checkpoint_every": 2,
    },
    "sample": {"count": 24, "batch": 4},
    "score": {"real_views": 8, "kid_subset_size": 4},
    "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    "pretrain": SHORT | {"batch": 2, "crop": 16},
    "finetune": SHORT,
    "evaluate": {"bootstrap": 100},
}
"""Changes that make the quickstart as small as it gets; nothing learns anything from it."""
NAME = "quickstart"


def overrides() -> list[str]:
    """TINY as `a.b=value`."""
    return [
        f"{group}.{key}={'null' if value is None else value}"
        for group, keys in TINY.items()
        for key, value in keys.items()
    ]


def tiny(verb: str, workspace: Path, *more: str) -> list[str]:
    """`vesselforge <verb> quickstart`, made tiny."""
    sets = [part for change in overrides() for part in ("--set", change)]
    return ["vesselforge", *verb.split(), NAME, *sets, "--workspace", str(workspace), *more]


def manifests(workspace: Path) -> dict[str, dict[str, Any]]:
    """kind/digest → manifest of every finished artifact."""
    found = (workspace / "store").glob("*/*/manifest.json")
    # A rename may be a moment away from `.partial`, and a damaged artifact was put aside.
    whole = [p for p in found if p.parent.suffix not in (".partial", ".damaged")]
    return {f"{p.parent.parent.name}/{p.parent.name}": json.loads(p.read_text()) for p in whole}


def contents(workspace: Path) -> dict[str, dict[str, str]]:
    """kind/digest → name → SHA-256 of every file."""
    return {name: manifest["files"] for name, manifest in manifests(workspace).items()}


def record(workspace: Path, name: str = NAME) -> dict[str, Any]:
    """run.json of a run."""
    return dict(json.loads((workspace / "runs" / name / "run.json").read_text()))


def half_written(workspace: Path) -> list[str]:
    """What a reader of the workspace could take for finished and is not; empty when all is well.

    Looks at every artifact's folder, hashes every file, and at the record and page of every run.
    """
    found = []
    for folder in sorted((workspace / "store").glob("[!.]*/*")):
        if not re.fullmatch(r"[0-9a-f]{24}", folder.name):
            if folder.suffix not in (".partial", ".resume"):
                found.append(f"{folder}: neither an artifact nor a partial one")
        else:
            try:
                whole_artifact(folder)
            except WorkspaceError as damage:
                found.append(str(damage))
    for stray in (workspace / "store").rglob("*.tmp"):
        if not any(part.endswith(".partial") for part in stray.parts):
            found.append(f"{stray}: a temporary file outside partial folders")
    for path in (workspace / "runs").glob("*/run.json"):
        if not _readable(path):
            found.append(f"{path}: not JSON")
    for path in (workspace / "runs").glob("*/report.html"):
        if not path.read_text().rstrip().endswith("</html>"):
            found.append(f"{path}: cut short")
    return found


def _readable(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except ValueError:
        return False
