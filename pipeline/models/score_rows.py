"""Figures of stages, and models with their versions, as rows: for the terminal, for Prefect's
tables, for `--json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vesselforge import pretrained
from vesselforge.engine.documents import flat
from vesselforge.generator.metrics.kid_verdict import EXTRACTORS
from vesselforge.pipeline.evidence import untrained
from vesselforge.pipeline.models.choice import START, TUNED

if TYPE_CHECKING:
    from vesselforge.pipeline.models.registry import Line

COLUMNS = {
    "f1": "F1",
    "se": "SE",
    "sp": "SP",
    "precision": "PR",
    "acc": "ACC",
    "auc": "AUC",
    "ap": "AP",
    "mcc": "MCC",
    "iou": "IoU",
}
DETAILS = {
    "cldice": "clDice",
    "f1_1px": "F1 ±1 px",
    "se_thin": "SE ≤3 px",
    "se_1px": "SE ≤1 px",
    "se_2_3px": "SE 2–3 px",
    "se_4px": "SE ≥4 px",
    "betti0_error": "Betti-0 err.",
    "betti1_error": "Betti-1 err.",
}
NOT_BETTER = "not better than marking every pixel"
SHOWN = 20
"""Events that a table shows, the newest; the registry and `--json` have all."""
REGIONS = {"fov": "inside the field of view", "whole": "whole image"}


def figure_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a figure of a stage; a feature extractor by what it is."""
    names = {("features", setting): what for setting, what in EXTRACTORS.items()}
    return [{"figure": n, "value": names.get((n, v), v)} for n, v in flat(metrics)]


def scored(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name → scores of every model, students between teacher and ensembles, which are named with
    their method, each followed by itself against further observers; then of those observers
    against the first."""
    models = metrics.get("models", {})
    found: dict[str, Mapping[str, Any]] = {}
    for name in sorted(models, key=place_of):
        shown = titled(name, models[name])
        found[shown] = models[name]
        for observer, scores in models[name].get("against", {}).items():
            found[f"{shown} against {observer}"] = scores
    return found | {f"observer {name}": v for name, v in metrics.get("observers", {}).items()}


def place_of(name: str) -> tuple[int, int]:
    """Where a model stands: what training began with, the teacher, students (`student-9` before
    `student-10`), ensembles."""
    first = {START: -1, "teacher": 0, TUNED: 0}
    return (2, 0) if name.startswith("ensemble") else (first.get(name, 1), len(name))


def titled(name: str, scores: Mapping[str, Any]) -> str:
    """A model's name for people: of an ensemble with its method, `ensemble (or)`."""
    method = (scores.get("rule") or {}).get("method")
    return f"{name.removesuffix(f'-{method}')} ({method})" if method else name


def scored_lines(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Who against whom → scores, of what `segmenter score` found."""
    return {f"{line['who']} against {line['against']}": line for line in result["scores"]}


def constant_f1(pooled: Mapping[str, Any]) -> float | None:
    """F1 of calling every pixel vessel, 2p/(1 + p), by a row of pooled scores; None when these do
    not tell p, the share of vessel pixels.

    ACC = SE·p + SP·(1 − p) gives p. Where SE and SP are about equal it does not, but precision
    does, SE·p/(SE·p + (1 − SP)·(1 − p)). Calling no pixel vessel has an F1 of 0, which is lower.
    """
    se, sp, acc, precision = (_known(pooled.get(name)) for name in ("se", "sp", "acc", "precision"))
    if se is None or sp is None:
        return None
    share = None
    if acc is not None and abs(sp - se) > 0.01:
        share = (sp - acc) / (sp - se)
    elif precision is not None:
        below = se * (1 - precision) + precision * (1 - sp)
        share = precision * (1 - sp) / below if below > 1e-9 else None
    return None if share is None else 2 * share / (1 + share)


def is_not_better(scores: Mapping[str, Any]) -> bool:
    """Whether a model's pooled F1 in the field of view is, to four digits, not above that of
    calling every pixel vessel: whatever it learnt does not show in it."""
    pooled = (scores.get("fov") or {}).get("pooled") or {}
    f1, constant = _known(pooled.get("f1")), constant_f1(pooled)
    if f1 is None or constant is None:
        return f1 == 0
    return round(f1, 4) <= round(constant, 4)


def _known(value: Any) -> float | None:
    """A finite number, None for anything else."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None


def score_rows(metrics: Mapping[str, Any], region: str = "fov") -> list[dict[str, Any]]:
    """One row a model: pooled figures, and the per-image mean of F1 with its 95 % interval."""
    return pixel_rows(scored(metrics), region)


def pixel_rows(lines: Mapping[str, Mapping[str, Any]], region: str) -> list[dict[str, Any]]:
    """One row for each of the named scores: pixels, pooled, and two means over images. Who is not
    better than the constant answer in the field of view is marked, in either region."""
    rows = []
    for name, scores in lines.items():
        pooled, mean = scores[region]["pooled"], scores[region]["mean"]
        row: dict[str, Any] = {"model": f"{name} ({NOT_BETTER})" if is_not_better(scores) else name}
        row |= {label: _four(pooled.get(key)) for key, label in COLUMNS.items() if key in pooled}
        row["clDice, mean"] = _four((mean.get("cldice") or [None])[0])
        row["F1 per image, mean [95 %]"] = _interval(mean.get("f1"))
        rows.append(row)
    return rows


def _four(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _interval(values: Any) -> str:
    if not values or values[0] is None:
        return "–"
    mean, low, high = values
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"


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
