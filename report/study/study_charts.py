"""Charts of a study: forest plots, dose and learning curves, differences against realism.

Counts and sizes stand equally spaced: a study has few of them, spread over orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan

from vesselforge.pipeline.study.schema import Arm, Effect, Place, Results
from vesselforge.report.charts import Level, Line, lines
from vesselforge.report.forest import Dot, forest
from vesselforge.report.formatting import signed
from vesselforge.report.page import Figure
from vesselforge.report.study import arm_names as on

LEAST = 0.001
"""How high the view of a metric is at least."""
Values = tuple[float, float, float] | None
"""Mean, low and high; None where nothing was measured."""


def real_forest(results: Results, place: Place, real_images: int) -> Figure | None:
    """One row an arm with a difference to real images alone on that place; None when none has."""
    arms = on.of_size(on.compared(results), real_images)
    effects = [(on.short(arm), arm, on.effect_at(arm, place)) for arm in arms]
    x_label = f"{on.metric_name(results.metric)} − real only"
    return _forest(results, effects, x_label, on.place_name(place, results, real_images))


def control_forest(results: Results, place: Place, real_images: int) -> Figure | None:
    """One row for each comparison with another arm on that place; None without any."""
    names = on.shorts(results)
    effects = [
        (f"{on.short(arm)} − {names.get(effect.against, effect.against)}", arm, effect)
        for arm in on.of_size(results.arms, real_images)
        for effect in arm.controls
        if effect.place == place
    ]
    x_label = f"{on.metric_name(results.metric)} − other arm"
    return _forest(results, effects, x_label, on.place_name(place, results, real_images))


def _forest(
    results: Results, effects: Sequence[tuple[str, Arm, Effect | None]], x_label: str, where: str
) -> Figure | None:
    slots = on.families(results)
    dots = [
        Dot(
            name,
            *values,
            slots.get(on.family(arm), len(slots)),
            f"{signed(values[0])} {effect.verdict}",
            effect.verdict in ("gain", "harm"),
            effect.by_seed,
            effect.detectable,
        )
        for name, arm, effect in effects
        if effect is not None and (values := on.difference(effect)) is not None
    ]
    return forest(dots, x_label, f"{where}.")


def dose_charts(results: Results, place: Place, real_images: int) -> list[Figure]:
    """Level and paired difference against the number of synthetic images, on one place."""
    arms = on.of_size(on.compared(results), real_images)
    base = on.of_size(on.real_only(results), real_images)
    counts = sorted({0, *(arm.count for arm in arms)})
    ticks = [f"{count:,}" for count in counts]
    slots, where = on.families(results), on.place_name(place, results, real_images)
    name = on.metric_name(results.metric)

    def curves(values_at: Callable[[Arm], Values]) -> list[Line]:
        found = []
        for own, slot in slots.items():
            mine = [arm for arm in arms if on.family(arm) == own]
            points = [(counts.index(arm.count), values_at(arm)) for arm in mine]
            found.append(_line(on.family_label(own, results), points, slot, len(slots)))
        return found

    grounds = [(on.short(arm), _level(arm, place)) for arm in base]
    levels = [Level(label, *values) for label, values in grounds if values is not None]
    charts = (
        lines(
            curves(lambda arm: _level(arm, place)),
            *("synthetic images", name, f"{where}."),
            levels=levels,
            ticks=ticks,
            least=LEAST,
        ),
        lines(
            curves(lambda arm: on.difference(on.effect_at(arm, place))),
            *("synthetic images", f"{name} − real only", f"{where}: differences."),
            levels=[Level("real only", 0.0)] if levels else [],
            ticks=ticks,
            least=LEAST,
        ),
    )
    return [chart for chart in charts if chart is not None]


def _level(arm: Arm, place: Place) -> Values:
    effect = on.effect_at(arm, place)
    return None if effect is None else effect.level


def _line(label: str, points: Sequence[tuple[int, Values]], slot: int, of: int) -> Line:
    """Means with intervals at places in a row, slightly apart from the other curves' dots."""
    apart = (slot - (of - 1) / 2) * min(0.14, 0.6 / of)
    ordered = sorted(points, key=lambda point: point[0])
    values = [(nan, nan, nan) if value is None else value for _, value in ordered]
    x, y = [place + apart for place, _ in ordered], [mean for mean, _, _ in values]
    return Line(label, x, y, slot, *_bounds(values))


def _bounds(values: Sequence[tuple[float, float, float]]) -> tuple[list[float], list[float]]:
    return [low for _, low, _ in values], [high for _, _, high in values]


def learning_chart(results: Results, place: Place) -> Figure | None:
    """Level against the number of real images: real only, and each family's best by validation."""
    sizes = sorted(on.sizes(results))
    if len(sizes) < 2:
        return None
    ground = _real_only_of_each_size(results)
    groups = [(ground[0].name or "real only", -1, ground)] if ground else []
    for own, slot in on.families(results).items():
        arms = [arm for arm in on.compared(results) if on.family(arm) == own]
        best = arms if own.name else _best_by_validation(arms)
        if best:
            count = "" if own.name else f", {best[0].count:,}"
            groups.append((f"{on.family_label(own, results)}{count}", slot, best))
    curves = []
    for label, slot, arms in groups:
        points = [(sizes.index(arm.real_images), _level(arm, place)) for arm in arms]
        curves.append(_line(label, points, slot, len(groups)))
    ticks = [f"{size:,}" for size in sizes]
    name = on.metric_name(results.metric)
    where = f"{on.place_name(place)}."
    return lines(curves, "real training images", name, where, ticks=ticks, least=LEAST)


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


def realism_chart(results: Results, field: str, x_label: str) -> Figure | None:
    """Paired difference on the primary place against a field of Realism; None without any."""
    curves = []
    for own, slot in on.families(results).items():
        rows = [
            (x, difference, arm.name or f"{arm.count:,}")
            for arm in on.compared(results)
            if on.family(arm) == own
            and (x := getattr(arm.realism, field, None)) is not None
            and (difference := on.difference(on.effect_at(arm, results.primary))) is not None
        ]
        values = [row[1] for row in rows]
        x, y, names = ([row[0] for row in rows], [v[0] for v in values], [row[2] for row in rows])
        curves.append(Line(on.family_label(own, results), x, y, slot, *_bounds(values), names))
    floors = [arm.realism.kid_floor for arm in results.arms if arm.realism is not None]
    floor = next((f"{f:.2g}" for f in floors if f is not None), "")
    caption = f"{on.place_name(results.primary)}; the lower the more like the real images"
    caption += f" (real against real: {floor})." if floor else "."
    if field != "kid":
        caption = "In units of how far held-out images are: below 1 they are nearer than new images"
        caption += " would be."
    y_label = f"{on.metric_name(results.metric)} − real only"
    return lines(curves, x_label, y_label, caption, least=LEAST, levels=[Level("no change", 0.0)])
