"""How a generator's snapshots scored while it trained, and where it had to go back."""

from __future__ import annotations

from typing import Any

from vesselforge.report.charts import Level, Line, curve, lines
from vesselforge.report.formatting import number
from vesselforge.report.page import Figure

Rows = list[dict[str, Any]]


def survivors(log: Rows) -> Rows:
    """What became of the training: without the entries that a rollback undid."""
    kept: Rows = []
    for row in log:
        if "rollback" in row:
            to = number(row.get("step")) or 0.0
            kept = [r for r in kept if (number(r.get("step")) or 0.0) <= to]
        kept.append(row)
    return kept


def kid_chart(log: Rows, unit: str, x_label: str) -> Figure | None:
    """KID with its standard deviation above the floor; None where no snapshot was scored."""
    rows = [row for row in log if number(row.get("kid_mean")) is not None]
    x, kid = curve(rows, unit, "kid_mean")
    deviation = curve(rows, unit, "kid_std")[1]
    low, high = ([k + sign * d for k, d in zip(kid, deviation, strict=False)] for sign in (-1, 1))
    floor = [level for row in rows if (level := _floor(row)) is not None][:1]
    caption = "KID of the weight average against real views, ± 1 standard deviation."
    if floor:
        caption += " Samples cannot be expected below the band, which is real against real."
    known = len(deviation) == len(kid)
    score = Line("samples against real", x, kid, 0, low if known else (), high if known else ())
    return lines([score], x_label, "KID", caption + _went_back(log, unit), levels=floor)


def _floor(row: dict[str, Any]) -> Level | None:
    mean, sd = (number(row.get(f"kid_floor_{name}")) for name in ("mean", "std"))
    if mean is None or sd is None:
        return None
    return Level("real against real ± 1 sd", mean, mean - sd, mean + sd)


def _went_back(log: Rows, unit: str) -> str:
    """Where the training failed and to where it went back."""
    events = []
    for row in log:
        to = number(row.get(unit))
        if "rollback" in row and to is not None:
            reason = str(row.get("reason") or "it failed").rstrip(".")
            events.append(
                f" At step {row.get('from_step')} ({reason}) it went back to {to:g} {unit}"
            )
    return f"{';'.join(events)}." if events else ""
