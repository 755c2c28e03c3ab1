"""Charts of a study: forest plots, and curves over the number of synthetic and of real images.

Counts and sizes stand equally spaced: a study has few of them, spread over orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from vesselforge.pipeline.statistics.answer import METRICS, signed
from vesselforge.pipeline.study.schema import Place, Results
from vesselforge.report.charts import Dot, Level, Line, forest, lines
from vesselforge.report.page import Figure
from vesselforge.report.study import arm_names as on

LEAST = 0.001
"""How high the view of a metric is at least."""
Values = tuple[float, float, float] | None
"""Mean, low and high; None where nothing was measured."""


def differences(results: Results, place: Place, real_images: int) -> Figure | None:
    """A forest plot of that place: one row an arm against real images alone, then one for each
    comparison with another arm. None when nothing was compared."""
    names, slots = {arm.id: arm.short for arm in results.arms}, on.families(results)
    arms = [arm for arm in results.arms if arm.real_images == real_images]
    rows = [(arm.short, arm, on.effect_at(arm, place)) for arm in arms if arm.baseline]
    rows += [
        (f"{arm.short} − {names.get(effect.against, effect.against)}", arm, effect)
        for arm in arms
        for effect in arm.controls
        if effect.place == place
    ]
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
        for name, arm, effect in rows
        if effect is not None and (values := on.difference(effect)) is not None
    ]
    x_label = f"{METRICS[results.metric]}, difference"
    return forest(dots, x_label, f"{on.place_name(place, results, real_images)}.")


def dose_chart(results: Results, place: Place, real_images: int) -> Figure | None:
    """Paired difference against the number of synthetic images, on one place."""
    arms = [arm for arm in on.compared(results) if arm.real_images == real_images]
    counts = sorted({0, *(arm.count for arm in arms)})
    slots = on.families(results)
    curves = []
    for own, slot in slots.items():
        points = [
            (counts.index(arm.count), on.difference(on.effect_at(arm, place)))
            for arm in arms
            if on.family(arm) == own
        ]
        curves.append(_line(on.family_label(own, results), points, slot, len(slots)))
    return lines(
        curves,
        "synthetic images",
        f"{METRICS[results.metric]} − real only",
        f"{on.place_name(place, results, real_images)}.",
        levels=[Level("real only", 0.0)] if arms else [],
        ticks=[f"{count:,}" for count in counts],
        least=LEAST,
    )


def learning_chart(results: Results, place: Place) -> Figure | None:
    """Level against the number of real images: real only, and each family with its most synthetic
    images. None for a single number of real images."""
    sizes = sorted(on.sizes(results))
    if len(sizes) < 2:
        return None
    ground = [arm for arm in results.arms if arm.baseline is None]
    groups = [("real only", -1, [arm for arm in ground if arm.label == ground[0].label])]
    for own, slot in on.families(results).items():
        arms = [arm for arm in on.compared(results) if on.family(arm) == own]
        most = {arm.real_images: arm for arm in sorted(arms, key=lambda arm: arm.count)}
        groups.append((on.family_label(own, results), slot, list(most.values())))
    curves = []
    for label, slot, arms in groups:
        effects = [(sizes.index(arm.real_images), on.effect_at(arm, place)) for arm in arms]
        points = [(at, None if effect is None else effect.level) for at, effect in effects]
        curves.append(_line(label, points, slot, len(groups)))
    ticks = [f"{size:,}" for size in sizes]
    name, where = METRICS[results.metric], f"{on.place_name(place)}."
    return lines(curves, "real training images", name, where, ticks=ticks, least=LEAST)


def _line(label: str, points: Sequence[tuple[int, Values]], slot: int, of: int) -> Line:
    """Means with intervals at places in a row, slightly apart from the other curves' dots."""
    apart = (slot - (of - 1) / 2) * min(0.14, 0.6 / of)
    ordered = sorted(points, key=lambda point: point[0])
    values = [(nan, nan, nan) if value is None else value for _, value in ordered]
    mean, low, high = ([value[i] for value in values] for i in range(3))
    return Line(label, [place + apart for place, _ in ordered], mean, slot, low, high)
