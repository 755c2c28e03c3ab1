"""The arms of a study as rows: for the terminal, and for Prefect's page."""

from __future__ import annotations

from typing import Any

from vesselforge.pipeline.study.schema import Arm, Effect, Endpoint, Results


def arm_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each arm at each endpoint: its level, and its difference to real images."""
    return [
        _where(results, endpoint) | _row(results, arm, endpoint)
        for endpoint in results.endpoints
        for arm in results.arms
    ]


def control_rows(results: Results) -> list[dict[str, Any]]:
    """One row for each comparison with another arm, at each endpoint."""
    labels = {arm.id: arm.name or arm.label for arm in results.arms}
    return [
        _where(results, endpoint)
        | {"real": arm.real_images, "arm": arm.name or arm.label}
        | {"against": labels.get(effect.against, effect.against), "seeds": effect.seeds}
        | _difference(results, effect)
        for endpoint in results.endpoints
        for arm in results.arms
        for effect in arm.controls
        if effect.place == endpoint.place
    ]


def _where(results: Results, endpoint: Endpoint) -> dict[str, Any]:
    return {"endpoint": endpoint.name} if len(results.endpoints) > 1 else {}


def _row(results: Results, arm: Arm, endpoint: Endpoint) -> dict[str, Any]:
    effect = next((e for e in arm.effects if e.place == endpoint.place), None)
    row: dict[str, Any] = {"real": arm.real_images, "arm": arm.label}
    row["seeds"] = sum(run.status == "completed" for run in arm.runs)
    row[results.metric] = None if effect is None else f"{effect.level[0]:.4f}"
    return row | _difference(results, effect if arm.baseline is not None else None)


def _difference(results: Results, effect: Effect | None) -> dict[str, Any]:
    return {
        "difference": _signed(effect.mean) if effect else None,
        f"{100 * (1 - results.alpha):g} %": _interval(effect),
        "p, Holm": None if effect is None or effect.p is None else f"{effect.p:.3g}",
        "detectable": _four(effect.detectable) if effect else None,
        "verdict": effect.verdict if effect else None,
    }


def _interval(effect: Effect | None) -> str | None:
    if effect is None or effect.low is None or effect.high is None:
        return None
    return f"{_signed(effect.low)} to {_signed(effect.high)}"


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.4f}".replace("-", "−")


def _four(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
