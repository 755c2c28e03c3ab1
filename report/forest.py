"""Forest plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vesselforge.report.charts import INK, MUTED, PAGE, SERIES, SMALL, clipped, drawn
from vesselforge.report.formatting import fixed, signed
from vesselforge.report.page import Figure

ROW_PX = 38


@dataclass(frozen=True)
class Dot:
    """A mean with its interval in a line of its own. text: what stands at its right; sure: whether
    it differs from zero; single: further small dots; detectable: half the width of a grey band."""

    label: str
    mean: float
    low: float
    high: float
    slot: int
    text: str
    sure: bool = True
    single: Sequence[float] = ()
    detectable: float | None = None


def forest(dots: Sequence[Dot], x_label: str, caption: str, zero: bool = True) -> Figure | None:
    """A dot with its interval a row. zero: whether the values are differences."""
    if not dots:
        return None

    def draw(axes: Any) -> None:
        if zero:
            axes.axvline(0, color=INK, linewidth=1, zorder=1)
        for at, dot in enumerate(dots):
            _draw_dot(axes, at, dot)
        axes.set_yticks([])
        axes.set_ylim(len(dots) - 0.55, -0.85)
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=5)
        low, high = axes.get_xlim()
        edge = max(0.02 * (high - low), 0.001)
        axes.set_xlim(low - edge, high + edge)

    written = signed if zero else fixed
    rows = (f"{d.label} {d.text}, {written(d.low)} to {written(d.high)}" for d in dots)
    alt = f"Forest plot of {x_label}. {'; '.join(rows)}"
    return drawn(draw, x_label, "", caption, alt, 58 + ROW_PX * len(dots))


def _draw_dot(axes: Any, at: int, dot: Dot) -> None:
    colour = SERIES[dot.slot % 8] if dot.slot >= 0 else MUTED
    if dot.detectable is not None:
        edges = {"color": MUTED, "alpha": 0.16, "linewidth": 0, "zorder": 0}
        axes.fill_between([-dot.detectable, dot.detectable], at - 0.17, at + 0.19, **edges)
    style = {"color": colour, "linewidth": 2.2, "solid_capstyle": "butt", "zorder": 2}
    axes.plot([dot.low, dot.high], [at, at], **style)
    if len(dot.single) > 1:
        style = {"linestyle": "none", "marker": "o", "markersize": 2.6, "color": INK}
        axes.plot(dot.single, [at + 0.13] * len(dot.single), zorder=4, **style)
    face = colour if dot.sure else PAGE
    style = {"marker": "o", "markersize": 7, "markeredgecolor": colour, "markeredgewidth": 1.6}
    axes.plot([dot.mean], [at], markerfacecolor=face, zorder=3, **style)
    text = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
        "fontsize": SMALL,
        "va": "bottom",
        "color": INK if dot.sure else MUTED,
        "fontweight": "bold" if dot.sure else "normal",
        "bbox": {"facecolor": PAGE, "edgecolor": "none", "pad": 0.5},  # no line through words
        "zorder": 1.5,
    }
    axes.annotate(clipped(dot.label), (0, at), (0, 8), ha="left", **text)
    axes.annotate(dot.text, (1, at), (0, 8), ha="right", **text)
