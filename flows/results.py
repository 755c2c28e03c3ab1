"""The figures of stages as rows: for the terminal, for Prefect's tables, for `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = {
    "f1": "F1",
    "se": "SE",
    "sp": "SP",
    "precision": "PR",
    "acc": "ACC",
    "auc": "AUC",
    "ap": "AP",
    "mcc": "MCC",
}


def flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as dotted names with plain values, in order; longer lists are left out."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


def scored(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name → scores of every model, students between teacher and ensemble, then of observers."""
    models = metrics.get("models", {})
    places = {"teacher": 0, "ensemble": 2}
    found = {name: models[name] for name in sorted(models, key=lambda n: places.get(n, 1))}
    found |= {f"observer {name}": v for name, v in metrics.get("observers", {}).items()}
    return found


def score_rows(metrics: Mapping[str, Any], region: str = "fov") -> list[dict[str, Any]]:
    """One row a model: pooled figures, and the per-image mean of F1 with its 95 % interval."""
    rows = []
    for name, scores in scored(metrics).items():
        pooled = scores[region]["pooled"]
        row: dict[str, Any] = {"model": name}
        row |= {label: _four(pooled.get(key)) for key, label in COLUMNS.items() if key in pooled}
        centre_lines = scores[region]["mean"].get("cldice") or [None]  # skeletons are not pooled
        row["clDice, mean"] = _four(centre_lines[0])
        row["F1 per image, mean [95 %]"] = _interval(scores[region]["mean"].get("f1"))
        rows.append(row)
    return rows


def _four(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _interval(values: Any) -> str:
    if not values or values[0] is None:
        return "–"
    mean, low, high = values
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"
