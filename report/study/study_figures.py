"""Plots of a study: dose and learning curves, and differences against realism.

Counts and sizes stand equally spaced: a study has few of them, spread over orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

from vesselforge.pipeline.study.schema import Arm, Place, Results
from vesselforge.report.figures import DASHES, INK, MUTED, SERIES, Figure, drawn, legend
from vesselforge.report.study import arm_names as on
from vesselforge.report.study import words
from vesselforge.report.tables import fixed, number, signed, spoken

Point = tuple[float, float, float, float]
"""x, mean, low, high."""
_NO_RESULT = (nan, nan, nan)  # breaks the line: nothing is known between its neighbours


@dataclass(frozen=True)
class Series:
    """One line with whiskers; slot −1 is the real-only arm's grey."""

    label: str
    points: Sequence[Point]
    slot: int


def dose_figures(results: Results, place: Place, real_images: int) -> list[Figure]:
    """Level and paired difference against the number of synthetic images, on one place."""
    arms = on.of_size(on.compared(results), real_images)
    base = on.of_size(on.real_only(results), real_images)
    counts = sorted({0, *(arm.count for arm in arms)})
    levels = [(arm, on.level_at(arm, place)) for arm in arms]
    differences = [(arm, on.difference_at(arm, place)) for arm in arms]
    where = place_title(results, place, real_images)
    grounds = [(on.short(arm), level) for arm in base if (level := on.level_at(arm, place))]
    name = on.metric_name(results)
    return [
        figure
        for figure in (
            _dose(
                _lines(results, levels, counts),
                counts,
                (name, where),
                words.dose_caption(results),
                grounds,
            ),
            _dose(
                _lines(results, differences, counts),
                counts,
                (f"{name} − real only", where),
                words.difference_caption(results),
                [("real only", (0.0, 0.0, 0.0))],
            ),
        )
        if figure is not None
    ]


Measured = Sequence[tuple[Arm, tuple[float, float, float] | None]]


def _lines(results: Results, measured: Measured, counts: Sequence[int]) -> list[Series]:
    slots = on.families(results)
    series = []
    for name, slot in slots.items():
        apart = (slot - (len(slots) - 1) / 2) * min(0.14, 0.6 / len(slots))
        points = sorted(
            (counts.index(arm.count) + apart, *(value or _NO_RESULT))
            for arm, value in measured
            if on.family(arm) == name
        )
        series.append(Series(on.family_label(name, results), points, slot))
    return [line for line in series if not all(isnan(point[1]) for point in line.points)]


def _dose(
    series: Sequence[Series],
    counts: Sequence[int],
    named: tuple[str, str],
    caption: str,
    grounds: Sequence[tuple[str, tuple[float, float, float]]],
) -> Figure | None:
    if not series and not grounds:
        return None

    def draw(axes: Any) -> None:
        for index, (label, (mean, low, high)) in enumerate(grounds):
            dash = DASHES[(index + 3) % len(DASHES)]
            axes.axhline(mean, color=MUTED, linewidth=1.3, linestyle=dash, label=label, zorder=1)
            axes.plot([0], [mean], marker="o", markersize=4.5, color=MUTED, zorder=3)
            if low < high:
                axes.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0, zorder=0)
        _draw_series(axes, series)
        axes.set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
        axes.set_xlim(-0.35, len(counts) - 0.55)
        _room(axes, [p[1:] for line in series for p in line.points] + [g[1] for g in grounds])
        legend(axes)

    alt = _alt(", ".join(named), "synthetic images", series)
    return drawn(draw, "synthetic images", named[0], caption, alt)


def learning_figure(results: Results, place: Place) -> Figure | None:
    """Level against the number of real images: real only, and each family's best by validation."""
    sizes = on.sizes(results)[::-1]
    if len(sizes) < 2:
        return None
    ground = _real_only_of_each_size(results)
    found = [(ground[0].name or "real only" if ground else "", -1, ground)]
    for own, slot in on.families(results).items():
        group = [arm for arm in on.compared(results) if on.family(arm) == own]
        best = group if own.name else _best_by_validation(group)
        if best:
            count = "" if own.name else f", {best[0].count:,}"
            found.append((f"{on.family_label(own, results)}{count}", slot, best))
    series = []
    for place_in_row, (label, slot, group) in enumerate(found):
        apart = (place_in_row - (len(found) - 1) / 2) * min(0.12, 0.5 / len(found))
        points = sorted(
            (sizes.index(arm.real_images) + apart, *level)
            for arm in group
            if (level := on.level_at(arm, place)) is not None
        )
        series.append(Series(label, points, slot))
    series = [line for line in series if line.points]
    if not series:
        return None

    def draw(axes: Any) -> None:
        _draw_series(axes, series)
        axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
        axes.set_xlim(-0.35, len(sizes) - 0.65)
        _room(axes, [p[1:] for line in series for p in line.points])
        legend(axes)

    y_label = f"{on.metric_name(results)}: {on.place_name(place)}"
    caption = words.learning_caption(results, len(series) > 1)
    alt = _alt(y_label, "real images", series)
    return drawn(draw, "real training images", y_label, caption, alt)


def _real_only_of_each_size(results: Results) -> list[Arm]:
    """One real-only arm a size, trained in one way and no longer than the others: that with the
    best validation."""
    groups: dict[str, list[Arm]] = {}
    for arm in on.real_only(results):
        if arm.longer == 1:
            groups.setdefault(arm.label, []).append(arm)
    return max(groups.values(), key=lambda group: on.validation(group) or 0.0, default=[])


def _best_by_validation(group: Sequence[Arm]) -> list[Arm]:
    """The arms of that count whose mean validation F1 over all sizes and seeds is best."""
    by_count: dict[int, list[Arm]] = {}
    for arm in group:
        by_count.setdefault(arm.count, []).append(arm)
    scores = {count: on.validation(arms) for count, arms in by_count.items()}
    known = {count: score for count, score in scores.items() if score is not None}
    return by_count[max(known, key=lambda count: known[count])] if known else []


def realism_figure(results: Results, field: str, x_label: str, what: str) -> Figure | None:
    """Paired difference on the primary place against a field of Realism; None without any."""
    rows = [
        (arm, x, value)
        for arm in on.compared(results)
        if (x := number(getattr(arm.realism, field, None))) is not None
        and (value := on.difference_at(arm, results.primary)) is not None
    ]
    if not rows:
        return None
    floors = [number(arm.realism.kid_floor) for arm, _, _ in rows if arm.realism is not None]
    floor = next((f for f in floors if f is not None), None) if field == "kid" else None
    slots = on.families(results)

    def draw(axes: Any) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        if floor is not None:
            style = {"color": MUTED, "linewidth": 1.2, "linestyle": ":"}
            axes.axvline(floor, label="floor: real against real", **style)
        for name, slot in slots.items():
            mine = [(x, *value) for arm, x, value in rows if on.family(arm) == name]
            if mine:
                line = Series(on.family_label(name, results), mine, slot)
                _draw_series(axes, [line], joined=False)
        for arm, x, value in rows:
            style = {"textcoords": "offset points", "fontsize": 9, "color": MUTED, "va": "center"}
            axes.annotate(arm.name or f"{arm.count:,}", (x, value[0]), (5, 0), **style)
        axes.margins(x=0.12)
        axes.locator_params(axis="x", nbins=5)
        _room(axes, [value for _, _, value in rows])
        legend(axes)

    y_label = f"{on.metric_name(results)} − real only"
    alt = f"Scatter of {y_label} over {x_label}: " + "; ".join(
        f"{on.short(arm)} {x:.4g}, {signed(value[0])}" for arm, x, value in rows
    )
    return drawn(draw, x_label, y_label, words.realism_caption(results, what), alt)


def filter_figure(results: Results, most: int = 24) -> Figure | None:
    """One bar a source: kept, and rejected by reason, as shares of what was drawn."""
    sources = [one for one in results.synthetic if one.drawn > 0][:most]
    if not sources:
        return None
    reasons = list(dict.fromkeys(r for one in results.synthetic for r in one.reasons))

    def draw(axes: Any) -> None:
        for row, source in enumerate(sources):
            left = 0.0
            for slot, name in enumerate(["kept", *reasons]):
                count = source.kept if slot == 0 else source.reasons.get(name, 0)
                width = 100 * count / source.drawn
                style: dict[str, Any] = {"color": SERIES[slot % 8], "height": 0.42}
                label = spoken(name) if row == 0 else None
                axes.barh(row, width, left=left, label=label, linewidth=0, **style)
                left += width
            text = f"{clipped(source.origin)} · {source.drawn:,} drawn"
            axes.text(0, row - 0.28, text, ha="left", va="bottom", fontsize=10, color=INK)
        axes.set_yticks([])
        axes.set_ylim(len(sources) - 0.5, -0.85)
        axes.set_xlim(0, 100)
        axes.spines["left"].set_visible(False)
        legend(axes)

    alt = "Bars of what was kept: " + "; ".join(
        f"{s.origin} {s.kept} of {s.drawn}" for s in sources
    )
    left_out = len(results.synthetic) - len(sources)
    caption = "What became of the drawn samples. " + (
        f"{left_out} further sources are in the table alone." if left_out else ""
    )
    return drawn(draw, "% of the drawn", "", caption, alt, (390, 90 + 36 * len(sources)))


def _draw_series(axes: Any, series: Sequence[Series], joined: bool = True) -> None:
    for line in series:
        colour = SERIES[line.slot % 8] if line.slot >= 0 else MUTED
        dash = DASHES[line.slot % len(DASHES)] if line.slot >= 0 else "-"
        x, mean, low, high = zip(*line.points, strict=True)
        axes.vlines(x, low, high, color=colour, linewidth=1.4, alpha=0.75)
        style = {"linewidth": 1.7, "linestyle": dash if joined else "none", "color": colour}
        axes.plot(x, mean, marker="o", markersize=4.5, label=line.label, **style)


def _room(axes: Any, values: Sequence[tuple[float, ...]]) -> None:
    """A view no narrower than a thousandth: identical arms are no cliff."""
    flat = [v for value in values for v in value if not isnan(v)]
    low, high = min(flat), max(flat)
    edge = max(0.08 * (high - low), 0.0005)
    axes.set_ylim(low - edge, high + edge)


def place_title(results: Results, place: Place, real_images: int) -> str:
    """`drive, first observer`, with the number of real images where that differs between arms."""
    several = len(on.sizes(results)) > 1
    return on.place_name(place) + (f", {real_images:,} real images" if several else "")


def _alt(y_label: str, x_label: str, series: Sequence[Series]) -> str:
    means = "; ".join(
        f"{line.label}: "
        + ", ".join("no result" if isnan(p[1]) else fixed(p[1]) for p in line.points)
        for line in series
    )
    return f"{y_label} over {x_label}. Means, from left to right: {means or 'none'}"


def clipped(text: str, most: int = 46) -> str:
    """A name short enough for a plot; tables have it whole."""
    return text if len(text) <= most else text[: most - 1] + "…"
