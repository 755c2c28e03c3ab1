"""How a generator's snapshots scored while it trained, and whether it failed."""

from __future__ import annotations

from typing import Any

from vesselforge.report.charts import Level, Line, curve, lines
from vesselforge.report.formatting import number
from vesselforge.report.page import Figure
from vesselforge.report.run.run_reading import mapping

Rows = list[dict[str, Any]]


def snapshot_charts(log: Rows, unit: str, x_label: str) -> list[Figure | None]:
    """KID with its standard deviation above the floor, and where samples have masks the figures of
    these."""
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
    return [
        lines([score], x_label, "KID", caption + _failed(log), levels=floor),
        _structure(rows, unit, x_label),
    ]


def _structure(rows: Rows, unit: str, x_label: str) -> Figure | None:
    """Figures of the samples' masks relative to real windows; the fraction of samples in range."""
    relative: Rows = []
    for row in rows:
        found = mapping(row.get("structure"))
        ratios = {unit: row.get(unit), "in_range": found.get("in_range")}
        for name, real in mapping(found, "reals").items():
            value, below = number(mapping(found, "samples").get(name)), number(real)
            ratios[name] = value / below if value is not None and below else None
        relative.append(ratios)
    curves = [
        Line(label, *curve(relative, unit, name), slot)
        for slot, (name, label) in enumerate(_STRUCTURE.items())
    ]
    caption = (
        "Means over the samples' masks relative to real windows, and the fraction of samples whose "
        "density, calibre and pieces lie in the real windows' central 98 %. KID does not see this."
    )
    level = Level("real windows", 1.0)
    return lines(curves, x_label, "relative to real", caption, levels=[level])


_STRUCTURE = {
    "components": "pieces",
    "ends": "ends",
    "branchings": "branchings",
    "in_range": "in range",
}


def _floor(row: dict[str, Any]) -> Level | None:
    mean, sd = (number(row.get(f"kid_floor_{name}")) for name in ("mean", "std"))
    if mean is None or sd is None:
        return None
    return Level("real against real ± 1 sd", mean, mean - sd, mean + sd)


def _failed(log: Rows) -> str:
    """Where the training ended early, and why."""
    ends = [row for row in log if "failed" in row]
    return f" At step {ends[-1].get('step')} it ended early: {ends[-1]['failed']}." if ends else ""
