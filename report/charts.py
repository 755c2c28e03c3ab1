"""Charts as inline SVG that takes its colours and font from the page, so it follows dark mode.

matplotlib is loaded when the first chart is drawn. The same numbers give the same bytes. No text is
smaller than 11 px where a chart is shown as wide as it was drawn, and page.css shows none narrower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from math import isnan
from typing import Any

import numpy as np
from markupsafe import Markup

from vesselforge.pipeline.statistics.answer import signed
from vesselforge.report.formatting import fixed, number
from vesselforge.report.page import Figure

SERIES = ("#0072b2", "#d55e00", "#009e73", "#a8508a", "#b8860b", "#4a90c2", "#7a6a53", "#566573")
"""Okabe-Ito, its light tones darkened for white; page.css gives each a tone for dark pages."""
INK, MUTED, GRID, PAGE = "#1c2024", "#5b6470", "#dde1e6", "#fbfbf9"
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
FEW = 12
"""Points up to which each of them is marked, read out, and has whiskers in place of a band."""
WIDTH_PX, HEIGHT_PX, ROW_PX = 360, 256, 38
SMALL = 11
"""Size of text; WIDTH_PX: page.css has the same as --least."""
_THEME = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAGE: "var(--page)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(SERIES)},
}


@dataclass(frozen=True)
class Line:
    """One curve; `slot` picks its colour and dash, and means the same model everywhere; −1 is grey.
    low, high: an interval around each y. A y that is NaN breaks the line: nothing is known
    there."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    slot: int = 0
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    @property
    def spoken(self) -> str:
        if len(self.y) > FEW:
            return self.label
        values = ("no result" if isnan(y) else fixed(y) for y in self.y)
        return f"{self.label}: {', '.join(values)}"


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


@dataclass(frozen=True)
class Level:
    """A reference height, with a band from low to high where these differ."""

    label: str
    y: float
    low: float = 0.0
    high: float = 0.0


def lines(
    curves: Sequence[Line],
    x_label: str,
    y_label: str,
    caption: str,
    *,
    levels: Sequence[Level] = (),
    marks: Sequence[tuple[float, float, str]] = (),
    ticks: Sequence[str] = (),
    least: float = 0.0,
) -> Figure | None:
    """Curves over a shared axis.

    marks: lone points. ticks: what stands at x = 0, 1, … in place of numbers. least: how high the
    view is at least, so that equals are no cliff.
    """
    curves = [c for c in curves if not all(map(isnan, c.y))]
    if not curves and not (levels and ticks):
        return None

    def draw(axes: Any) -> None:
        for index, level in enumerate(levels):
            style = {"color": MUTED, "linewidth": 1.2, "linestyle": DASHES[(index + 3) % 6]}
            axes.axhline(level.y, label=clipped(level.label), zorder=1, **style)
            if level.low < level.high:
                axes.axhspan(level.low, level.high, color=MUTED, alpha=0.18, linewidth=0, zorder=0)
        for line in curves:
            _draw_line(axes, line)
        for x, y, label in marks:
            style = {"color": INK, "marker": "D", "linestyle": "none", "markersize": 5}
            axes.plot([x], [y], label=label, zorder=5, **style)
        low, high = axes.get_ylim()
        if high - low < least:
            axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.4, len(ticks) - 0.6)
        else:
            axes.set_xlim(left=0)
        if len(curves) > 1 or levels or marks:
            legend(axes)

    values = "; ".join(line.spoken for line in curves) or "none"
    return drawn(draw, x_label, y_label, caption, f"{y_label} over {x_label}. {values}")


def _draw_line(axes: Any, line: Line) -> None:
    colour = SERIES[line.slot % 8] if line.slot >= 0 else MUTED
    few = len(line.x) <= FEW
    if len(line.low) and few:
        axes.vlines(line.x, line.low, line.high, color=colour, linewidth=1.4, alpha=0.75)
    elif len(line.low):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
    dash = DASHES[line.slot % 6] if line.slot >= 0 else "-"
    style = {"color": colour, "linestyle": dash, "linewidth": 1.7, "markersize": 4.5}
    axes.plot(line.x, line.y, label=clipped(line.label), marker="o" if few else None, **style)


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


def clipped(text: str, most: int = 36) -> str:
    """A name short enough for a chart; tables have it whole."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def legend(axes: Any) -> None:
    """Above the plot, where it hides no line; long ones make the chart higher."""
    labels = axes.get_legend_handles_labels()[1]
    columns = max(1, min(len(labels), int(WIDTH_PX / (44 + 6.4 * max(map(len, labels))))))
    extra = max(0, -(-len(labels) // columns) - 2)
    axes.figure.set_figheight(axes.figure.get_figheight() + extra * 16 / 72)
    axes.figure.legend(loc="outside upper left", ncols=columns)


def curve(
    rows: Sequence[Mapping[str, Any]], x: str, y: str, most: int = 120
) -> tuple[list[float], list[float]]:
    """Two columns of a log; a long noisy curve as means of `most` equal groups of points."""
    pairs = [(number(row.get(x)), number(row.get(y))) for row in rows]
    whole = np.array([p for p in pairs if p[0] is not None and p[1] is not None], float)
    if not len(whole):
        return [], []
    groups = np.array_split(whole, min(most, len(whole)))
    means = np.array([group.mean(axis=0) for group in groups])
    return means[:, 0].tolist(), means[:, 1].tolist()


def drawn(
    draw: Callable[[Any], None],
    x_label: str,
    y_label: str,
    caption: str,
    alt: str,
    height_px: float = HEIGHT_PX,
) -> Figure:
    """A chart in the page's colours: `draw` fills the axes."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        canvas = Canvas(figsize=(WIDTH_PX / 72, height_px / 72), layout="constrained")
        axes = canvas.subplots()
        draw(axes)
        axes.set(xlabel=x_label, ylabel=y_label, axisbelow=True)
        axes.grid(True, color=GRID, linewidth=0.8)
        stream = StringIO()
        nothing: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return Figure(alt, caption, _themed(stream.getvalue()))


_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vesselforge",
    "text.parse_math": False,  # a `$` in somebody's file name is a dollar
    "font.size": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "legend.borderpad": 0.1,
}


def _themed(svg: str) -> Markup:
    """The bare <svg> element: page colours and font, ids that cannot meet another chart's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:width|height)="[^"]*"', "", svg, count=2)  # those of the element itself
    svg = re.sub(r"font: ([\d.]+px) '[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"font-family: '[^;\"]*;?", "", svg)
    for colour, variable in _THEME.items():
        svg = svg.replace(colour, variable)
    own = f"f{sha256(svg.encode()).hexdigest()[:8]}-"
    for before in (' id="', "url(#", 'href="#'):
        svg = svg.replace(before, before + own)
    return Markup(svg)  # noqa: S704 (matplotlib's: it has escaped every text in it)
