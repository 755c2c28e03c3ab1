"""The arms of a study as rows: for the terminal, and for Prefect's page."""

from __future__ import annotations

from typing import Any

from vesselforge.pipeline.statistics.answer import signed
from vesselforge.pipeline.study.schema import Effect, Results


def arm_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each arm at each endpoint: its level, and its difference to real images."""
    rows = []
    for endpoint in results.endpoints:
        for arm in results.arms:
            effect = next((e for e in arm.effects if e.place == endpoint.place), None)
            row = {"endpoint": endpoint.name, "real": arm.real_images, "arm": arm.label}
            row |= {"seeds": sum(run.status == "completed" for run in arm.runs)}
            row[results.metric] = None if effect is None else f"{effect.level[0]:.4f}"
            rows.append(row | _difference(results, effect if arm.baseline is not None else None))
    return rows


def control_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each comparison with another arm, at each endpoint."""
    labels = {arm.id: arm.name or arm.label for arm in results.arms}
    rows = []
    for endpoint in results.endpoints:
        for arm in results.arms:
            for effect in (e for e in arm.controls if e.place == endpoint.place):
                row = {"endpoint": endpoint.name, "real": arm.real_images, "arm": labels[arm.id]}
                row |= {"against": labels.get(effect.against, effect.against)}
                rows.append(row | {"seeds": effect.seeds} | _difference(results, effect))
    return rows


def _difference(results: Results, effect: Effect | None) -> dict[str, Any]:
    interval = f"{100 * (1 - results.alpha):g} %"
    row = dict.fromkeys(["difference", interval, "p, Holm", "detectable", "verdict"])
    if effect is None:
        return row
    if effect.low is not None:
        row[interval] = f"{signed(effect.low)} to {signed(effect.high)}"
    if effect.detectable is not None:
        row["detectable"] = f"{effect.detectable:.4f}"
    if effect.p is not None:
        row["p, Holm"] = f"{effect.p:.3g}"
    return row | {"difference": signed(effect.mean), "verdict": effect.verdict}
