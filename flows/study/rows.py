"""The arms of a study as rows: for the terminal, and for Prefect's page."""

from __future__ import annotations

from typing import Any

from flows.study.schema import Arm, Effect, Results


def arm_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each arm, on the primary place: its level, and its difference to real images."""
    return [_row(results, arm) for arm in results.arms]


def _row(results: Results, arm: Arm) -> dict[str, Any]:
    effect = next((e for e in arm.effects if e.place == results.primary), None)
    share = f"{100 * (1 - results.alpha):g} %"
    row: dict[str, Any] = {"real": arm.real_images, "arm": arm.label}
    row["seeds"] = sum(run.status == "completed" for run in arm.runs)
    row[results.metric] = None if effect is None else f"{effect.level[0]:.4f}"
    compared = effect if arm.baseline is not None else None
    row["difference"] = _signed(compared.mean) if compared else None
    row[share] = _interval(compared)
    row["p, Holm"] = _p(compared)
    row["verdict"] = compared.verdict if compared else None
    return row


def _interval(effect: Effect | None) -> str | None:
    if effect is None or effect.low is None or effect.high is None:
        return None
    return f"{_signed(effect.low)} to {_signed(effect.high)}"


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.4f}".replace("-", "−")


def _p(effect: Effect | None) -> str | None:
    return None if effect is None or effect.p_holm is None else f"{effect.p_holm:.3g}"
