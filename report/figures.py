"""Plots as inline SVG that takes its colours and font from the page, so it follows dark mode.

matplotlib is loaded when the first figure is drawn. The same numbers give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from vesselforge.report.tables import number

SERIES = ("#0072b2", "#d55e00", "#009e73", "#a8508a", "#b8860b", "#4a90c2", "#7a6a53", "#566573")
"""Okabe-Ito, its light tones darkened for white; style.css gives each a tone for dark pages."""
INK, MUTED, GRID, PAGE = "#1c2024", "#5b6470", "#dde1e6", "#fbfbf9"
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
_THEME = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAGE: "var(--page)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(SERIES)},
}


@dataclass(frozen=True)
class Figure:
    """One plot: SVG, a caption, and what a screen reader says."""

    svg: Markup
    caption: str
    alt: str


@dataclass(frozen=True)
class Line:
    """One curve; `slot` picks its colour and dash, and means the same model everywhere; `spread`:
    a shaded ± around each y."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    slot: int = 0
    spread: Sequence[float] = ()


def lines(
    curves: Sequence[Line],
    x_label: str,
    y_label: str,
    caption: str,
    *,
    level: tuple[float, str] | None = None,
    band: tuple[float, float, str] | None = None,
    box: tuple[float, float, float, float] | None = None,
    log_y: bool = False,
    points: Sequence[tuple[float, float, str]] = (),
) -> Figure | None:
    """Curves over a shared axis; `level`: a reference height; `band`: one from low to high;
    `points`: lone marks; `box`: left, right, bottom and top of the view."""
    curves = [c for c in curves if c.x]
    if not curves:
        return None

    def draw(axes: Any) -> None:
        for line in curves:
            colour, dash = SERIES[line.slot % 8], DASHES[line.slot % 6]
            marker = "o" if len(line.x) <= 12 else None
            style = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 3.5}
            axes.plot(line.x, line.y, label=line.label, linewidth=1.7, **style)
            if line.spread:
                mean, error = np.asarray(line.y), np.asarray(line.spread)
                edges = mean - error, mean + error
                axes.fill_between(line.x, *edges, color=colour, alpha=0.2, linewidth=0)
        if level is not None:
            axes.axhline(level[0], color=MUTED, linewidth=1, linestyle=":", label=level[1])
        if band is not None:
            axes.axhspan(*band[:2], color=MUTED, alpha=0.3, linewidth=0, label=band[2])
        for x, y, label in points:
            style = {"color": INK, "marker": "D", "linestyle": "none", "markersize": 5}
            axes.plot([x], [y], label=label, zorder=5, **style)
        if log_y and min(y for line in curves for y in line.y) > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        if box is not None:
            axes.set(xlim=box[:2], ylim=box[2:])
        else:
            axes.set_xlim(left=0)
        if len(curves) > 1 or level or band or points:
            legend(axes)

    names = ", ".join(c.label for c in curves)
    return drawn(draw, x_label, y_label, caption, f"Line plot of {y_label} over {x_label}: {names}")


def histogram(
    groups: Mapping[str, Sequence[float]],
    x_label: str,
    y_label: str,
    caption: str,
    limit: float | None,
) -> Figure | None:
    """Stacked counts of several groups over [0, 1], and a limit as a vertical line."""
    groups = {name: values for name, values in groups.items() if len(values)}
    if not groups:
        return None
    values = np.concatenate([np.asarray(v, float) for v in groups.values()])
    low = max(0.0, np.floor(min(values.min(), 1 if limit is None else limit) * 20) / 20)
    edges = np.linspace(low, 1.0, 25)

    def draw(axes: Any) -> None:
        base = np.zeros(24)
        for slot, (name, group) in enumerate(groups.items()):
            counts = np.histogram(np.clip(group, low, 1.0), edges)[0]
            style = {"color": SERIES[slot], "label": name, "alpha": 0.9 if slot == 0 else 0.75}
            axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, bottom=base, align="edge", **style)
            base = base + counts
        if limit is not None:
            axes.axvline(limit, color=INK, linewidth=1.2, linestyle="--", label=f"limit {limit:g}")
        axes.yaxis.get_major_locator().set_params(integer=True)
        legend(axes)

    counts = ", ".join(f"{len(v)} {name}" for name, v in groups.items())
    return drawn(draw, x_label, y_label, caption, f"Histogram of {x_label}: {counts}")


def intervals(
    rows: Sequence[tuple[str, float, float, float, int]], x_label: str, caption: str
) -> Figure | None:
    """One dot with its interval a row: (name, mean, low, high, slot)."""
    if not rows:
        return None

    def draw(axes: Any) -> None:
        for place, (_, mean, low, high, slot) in enumerate(rows):
            colour = SERIES[slot % 8] if slot >= 0 else MUTED
            axes.plot([low, high], [place, place], color=colour, linewidth=2.2)
            axes.plot([mean], [place], marker="o", markersize=7, color=colour)
            text = {"ha": "center", "color": INK, "fontsize": 10}
            axes.annotate(f"{mean:.4f}", (mean, place), (0, 7), textcoords="offset points", **text)
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.7)
        axes.margins(x=0.12)

    alt = "; ".join(f"{name} {m:.4f}, {low:.4f} to {high:.4f}" for name, m, low, high, _ in rows)
    return drawn(draw, x_label, "", caption, f"Dots with 95 % intervals of {x_label}: {alt}")


def differences(values: Sequence[float], x_label: str, y_label: str, caption: str) -> Figure | None:
    """One bar an image, sorted, above or below zero."""
    if not len(values):
        return None
    ordered = sorted(values)

    def draw(axes: Any) -> None:
        colours = [SERIES[1] if v < 0 else SERIES[0] for v in ordered]
        axes.bar(range(1, len(ordered) + 1), ordered, 0.7, color=colours)
        axes.axhline(0, color=INK, linewidth=1)
        axes.xaxis.get_major_locator().set_params(integer=True)

    better = sum(v > 0 for v in ordered)
    alt = f"Bars of {y_label}: above zero on {better} of {len(ordered)} images"
    return drawn(draw, x_label, y_label, caption, alt)


def legend(axes: Any) -> None:
    """Above the plot, where it hides no line."""
    labels = axes.get_legend_handles_labels()[1]
    width_px = 44 + 5.8 * max(map(len, labels))
    columns = max(1, min(len(labels), int(385 / width_px)))
    axes.figure.legend(loc="outside upper left", ncols=columns)


def columns(
    points: Mapping[str, Any], x: str, y: str, most: int = 240
) -> tuple[list[float], list[float]]:
    """Two lists of one length as a curve of at most `most` points, both ends kept."""
    xs, ys = (points.get(name) for name in (x, y))
    if not (isinstance(xs, list) and isinstance(ys, list) and xs and ys):
        return [], []
    rows = [{x: a, y: b} for a, b in zip(xs, ys, strict=False)]
    picked = np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))
    return curve([rows[i] for i in picked], x, y, most)


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
    size: tuple[float, float] = (390, 262),
) -> Figure:
    """A plot in the page's colours: `draw` fills the axes; `size`: width and height in px."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: Any = _STYLE
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        canvas = Canvas(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots()
        draw(axes)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        return Figure(_themed(_svg_text(canvas)), caption, alt)


def _svg_text(canvas: Any) -> str:
    import io

    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return stream.getvalue()


_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vesselforge",
    "text.parse_math": False,  # a `$` in somebody's file name is a dollar
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "legend.borderpad": 0.1,
}


def _themed(svg: str) -> Markup:
    """The bare <svg> element: page colours and font, ids that cannot meet another figure's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) '[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"font-family: '[^;\"]*;?", "", svg)
    for colour, variable in _THEME.items():
        svg = svg.replace(colour, variable)
    return Markup(_own_ids(svg))  # noqa: S704 (matplotlib's: it has escaped every text in it)


def _own_ids(svg: str) -> str:
    from hashlib import sha256

    own = "f" + sha256(svg.encode()).hexdigest()[:8] + "-"
    svg = re.sub(r'\bid="', f'id="{own}', svg)
    svg = svg.replace("url(#", f"url(#{own}")
    return svg.replace('href="#', f'href="#{own}')
