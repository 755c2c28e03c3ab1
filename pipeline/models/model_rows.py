"""Models as tables, for the terminal and for Prefect's pages: lines of them, and those that come
with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesselforge import pretrained
from vesselforge.pipeline.evidence import untrained
from vesselforge.pipeline.models.registry import Line
from vesselforge.pipeline.models.score_rows import NOT_BETTER, is_not_better

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


def model_rows(kind: pretrained.Kind) -> list[dict[str, Any]]:
    """One row for each of a kind, as its card says."""
    row = _segmenter_row if kind == "segmenter" else _generator_row
    return [
        {"name": name, **row(pretrained.card(name)), "MB": round(pretrained.size(name) / 1e6, 2)}
        for name in pretrained.names(kind)
    ]


def _segmenter_row(card: Mapping[str, Any]) -> dict[str, Any]:
    """Scores are those on the test images of its own dataset."""
    data = card["trained_on"]
    scores = card["scores"].get(data["dataset"], {})
    pooled = scores.get("fov", {}).get("pooled", {})
    mark = f", {NOT_BETTER}" if is_not_better(scores) else ""
    return {
        "network": f"{card['network']}{mark}",
        "parameters": card["parameters"],
        "trained on": f"{data['dataset']}, {len(data['train'])} images",
        "seed": card["seed"],
        "F1": pooled.get("f1"),
        "AUC": pooled.get("auc"),
    }


def _generator_row(card: Mapping[str, Any]) -> dict[str, Any]:
    side, seen = card["resolution"], card["trained_on"].items()
    return {
        "images": f"{side} x {side}, {card['channels']}",
        "parameters": card["parameters"]["generator"],
        "trained on": "; ".join(f"{n}, {' + '.join(map(str, c))} images" for n, c in seen),
        "kimg": f"{card['kimg']:g}, untrained" if untrained(card, {}) else card["kimg"],
        "KID": card["trainings"][-1]["scores"].get("kid_mean"),
    }
