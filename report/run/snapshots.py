"""How a generator's snapshots scored while it trained, and where it had to go back."""

from __future__ import annotations

from typing import Any

from vesselforge.report.figures import Figure, Line, curve, lines
from vesselforge.report.run.run_reading import mapping
from vesselforge.report.tables import number

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


def snapshot_figures(log: Rows, unit: str, x_label: str) -> list[Figure]:
    """KID with its error bar above the floor, the diversity of the samples, and where they have
    masks the figures of these."""
    rows = [row for row in log if number(row.get("kid_mean")) is not None]
    x, kid = curve(rows, unit, "kid_mean")
    spread = curve(rows, unit, "kid_std")[1]
    floor = next((_floor(row) for row in rows if _floor(row) is not None), None)
    caption = "KID of the weight average against real views; shaded: ± 1 sd over resamplings."
    if floor is not None:
        caption += " Samples cannot be expected below the band, which is real against real."
    score = Line("samples against real", x, kid, 0, spread if len(spread) == len(kid) else ())
    narrow = [Line("samples", *curve(rows, unit, "diversity"), 2)]
    pictured = (
        lines([score], x_label, "KID", caption + _went_back(log, unit), band=floor),
        lines(narrow, x_label, "diversity", _DIVERSITY, level=(1.0, "real views")),
        _structure(rows, unit, x_label),
    )
    return [figure for figure in pictured if figure is not None]


def _structure(rows: Rows, unit: str, x_label: str) -> Figure | None:
    """Figures of the samples' masks relative to real windows; the share of samples in range."""
    relative: Rows = []
    for row in rows:
        found = mapping(row.get("structure"))
        told = {unit: row.get(unit), "in_range": found.get("in_range")}
        for name, real in mapping(found, "reals").items():
            value, below = number(mapping(found, "samples").get(name)), number(real)
            told[name] = value / below if value is not None and below else None
        relative.append(told)
    curves = [
        Line(label, *curve(relative, unit, name), slot)
        for slot, (name, label) in enumerate(_STRUCTURE.items())
    ]
    caption = (
        "Means over the samples' masks relative to real windows, and the share of samples whose "
        "density, calibre and pieces lie in the real windows' central 98 %. KID does not see this."
    )
    return lines(curves, x_label, "relative to real", caption, level=(1.0, "real windows"))


_STRUCTURE = {
    "components": "pieces",
    "ends": "ends",
    "branchings": "branchings",
    "in_range": "share in range",
}
_DIVERSITY = "Mean distance between two samples' features, relative to that between two real views."


def _floor(row: dict[str, Any]) -> tuple[float, float, str] | None:
    mean, deviation = (number(row.get(f"kid_floor_{name}")) for name in ("mean", "std"))
    if mean is None or deviation is None:
        return None
    return mean - deviation, mean + deviation, "real against real ± 1 sd"


def _went_back(log: Rows, unit: str) -> str:
    """Where the training failed and to where it went back."""
    told = []
    for row in log:
        to = number(row.get(unit))
        if "rollback" in row and to is not None:
            reason = str(row.get("reason") or "it failed").rstrip(".")
            told.append(f" At step {row.get('from_step')} ({reason}) it went back to {to:g} {unit}")
    return f"{';'.join(told)}." if told else ""
