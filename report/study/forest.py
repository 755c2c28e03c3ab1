"""Forest plots: paired differences of arms with intervals, seeds and what can be seen."""

from __future__ import annotations

from typing import Any, NamedTuple

from vesselforge.pipeline.study.schema import Effect, Place, Results
from vesselforge.report.figures import INK, MUTED, PAGE, SERIES, Figure, drawn
from vesselforge.report.study import arm_names as on
from vesselforge.report.study import words
from vesselforge.report.study.study_figures import clipped, place_title
from vesselforge.report.tables import number, signed

_ROW_PX = 36


class Row(NamedTuple):
    """label: what is compared; value: mean, low, high of the difference."""

    label: str
    slot: int
    effect: Effect
    value: tuple[float, float, float]


def forest(results: Results, place: Place, real_images: int) -> Figure | None:
    """One row an arm with a difference to real images alone on that place; None when none has."""
    slots = on.families(results)
    arms = on.of_size(on.compared(results), real_images)
    pairs = [(arm, on.effect_at(arm, place)) for arm in arms]
    rows = [
        Row(on.short(arm), slots[on.family(arm)], effect, value)
        for arm, effect in pairs
        if effect is not None and (value := on.value_of(effect)) is not None
    ]
    title = f"{on.metric_name(results)} − real only: {place_title(results, place, real_images)}"
    return _forest(rows, title, words.forest_caption(results, "the real-only arm"))


def control_forest(results: Results, place: Place, real_images: int) -> Figure | None:
    """One row for each comparison with another arm on that place; None without any."""
    slots = on.families(results)
    labels = {arm.id: on.short(arm) for arm in results.arms}
    rows = [
        Row(
            f"{on.short(arm)} − {labels.get(effect.against, effect.against)}",
            slots.get(on.family(arm), len(slots)),
            effect,
            value,
        )
        for arm in on.of_size(results.arms, real_images)
        for effect in arm.controls
        if effect.place == place and (value := on.value_of(effect)) is not None
    ]
    title = f"{on.metric_name(results)} − other arm: {place_title(results, place, real_images)}"
    return _forest(rows, title, words.forest_caption(results, "another arm"))


def _forest(rows: list[Row], x_label: str, caption: str) -> Figure | None:
    if not rows:
        return None

    def draw(axes: Any) -> None:
        axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for at, row in enumerate(rows):
            _draw_row(axes, at, row, SERIES[row.slot % 8])
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.55, -0.85)
        axes.spines["left"].set_visible(False)
        low, high = _view(rows)
        axes.set_xlim(low, high)

    alt = f"Forest plot of {x_label}. " + "; ".join(_spoken(row) for row in rows)
    return drawn(draw, x_label, "", caption, alt, (390, 58 + _ROW_PX * len(rows)))


def _draw_row(axes: Any, at: int, row: Row, colour: str) -> None:
    effect, (mean, low, high) = row.effect, row.value
    shown = effect.verdict in ("gain", "harm")
    limit = number(effect.detectable)
    if limit is not None:
        edges = {"color": MUTED, "alpha": 0.16, "linewidth": 0, "zorder": 0}
        axes.fill_between([-limit, limit], at - 0.17, at + 0.19, **edges)
    axes.plot([low, high], [at, at], color=colour, linewidth=2.2, zorder=2, solid_capstyle="butt")
    seeds = [seed for value in effect.by_seed if (seed := number(value)) is not None]
    if len(seeds) > 1:
        style = {"linestyle": "none", "marker": "o", "markersize": 2.6, "color": INK}
        axes.plot(seeds, [at + 0.13] * len(seeds), zorder=4, **style)
    face = colour if shown else PAGE
    style = {"marker": "o", "markersize": 7, "markeredgecolor": colour, "markeredgewidth": 1.6}
    axes.plot([mean], [at], markerfacecolor=face, zorder=3, **style)
    text = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
        "fontsize": 10,
        "va": "bottom",
        "color": INK if shown else MUTED,
        "fontweight": "bold" if shown else "normal",
        "bbox": {"facecolor": PAGE, "edgecolor": "none", "pad": 0.5},  # no line through words
        "zorder": 1.5,
    }
    axes.annotate(clipped(row.label, 40), (0, at), (0, 8), ha="left", **text)
    axes.annotate(f"{signed(mean)} {effect.verdict}", (1, at), (0, 8), ha="right", **text)


def _view(rows: list[Row]) -> tuple[float, float]:
    """Zero and everything drawn, with some room; at least two thousandths wide."""
    values = [0.0]
    for _, _, effect, value in rows:
        values += [*value, *(v for v in effect.by_seed if number(v) is not None)]
        limit = number(effect.detectable)
        values += [] if limit is None else [-limit, limit]
    low, high = min(values), max(values)
    edge = max(0.06 * (high - low), 0.001)
    return low - edge, high + edge


def _spoken(row: Row) -> str:
    mean, low, high = row.value
    return f"{row.label} {signed(mean)}, {signed(low)} to {signed(high)}, {row.effect.verdict}"
