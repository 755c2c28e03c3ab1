"""Tables of the arms: against real images alone, against each other, and by other metrics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vesselforge.pipeline.study.schema import Arm, Effect, Place, Results, Secondary
from vesselforge.report.study import arm_names as on
from vesselforge.report.study.study_tables import Named
from vesselforge.report.tables import (
    ABSENT,
    Table,
    counted,
    fixed,
    interval,
    number,
    signed,
)

_FIGURES = ["p, Holm", "Detectable", "p, images", "p, seeds"]


def arm_table(results: Results, place: Place) -> Table:
    """Every arm on one place, real-only arms first among theirs."""
    labels = {arm.id: on.short(arm) for arm in results.arms}
    varies = {
        "Family": results.declared,
        "Source": len({arm.source for arm in on.compared(results)}) > 1,
        "Augmented": len({arm.augment for arm in results.arms}) > 1,
        "Augmentation": len({arm.strength for arm in results.arms}) > 1,
        "Compared with": len(on.real_only(results)) > 1,
    }
    rows = [_arm_row(results, arm, place, labels) for arm in results.arms]
    head = [name for name in (rows[0] if rows else {}) if varies.get(name, True)]
    note = (
        f"Mean and difference with {on.percent(results)} interval. Seeds: those the comparison "
        "rests on, of those asked for."
    )
    if results.declared:
        note += " Primary: corrected over all primary arms on all endpoints."
    cells = [[row[name] for name in head] for row in rows]
    return Named(f"Arms on {on.place_name(place)}.", head, cells, sortable=True, note=note, names=2)


def _arm_row(results: Results, arm: Arm, place: Place, labels: Mapping[str, str]) -> dict[str, str]:
    effect = on.effect_at(arm, place)
    used = effect.seeds if effect else on.done(arm)
    primary = on.is_primary(arm, effect, results)
    return {
        "Arm": arm.label,
        "Verdict": _verdict(arm, effect),
        on.metric_name(results): interval(effect.level, 4) if effect else ABSENT,
        "Difference": difference(effect),
        **_figures(effect),
        "Family": ABSENT if arm.baseline is None else "primary" if primary else "secondary",
        "Synthetic": counted(arm.count),
        "Source": arm.source or ABSENT,
        "Order": (arm.order or ABSENT).replace("-", " "),
        "Augmented": arm.augment,
        "Augmentation": arm.strength,
        "Real": counted(arm.real_images),
        "Compared with": labels.get(arm.baseline or "", ABSENT),
        "Seeds": f"{used} of {len(arm.runs)}" if used != len(arm.runs) else str(used),
        "Images": counted(effect.images if effect else None),
    }


def _verdict(arm: Arm, effect: Effect | None) -> str:
    if arm.baseline is None:
        return "real only"
    if effect is not None:
        return effect.verdict
    return "too few images kept" if any(run.short for run in arm.runs) else "no result"


def _figures(effect: Effect | None) -> dict[str, str]:
    cells = [ABSENT] * len(_FIGURES)
    if effect is not None:
        cells = [p_value(effect.p), fixed(effect.detectable)]
        cells += [p_value(effect.p_images), p_value(effect.p_seeds)]
    return dict(zip(_FIGURES, cells, strict=True))


def control_table(results: Results, place: Place) -> Table | None:
    """Arms against others than their real-only arm, on one place; None where none is."""
    labels = {arm.id: on.short(arm) for arm in results.arms}
    rows = [
        {
            "Arm": on.short(arm),
            "Against": labels.get(effect.against, effect.against),
            "Verdict": effect.verdict,
            "Difference": difference(effect),
            **_figures(effect),
            "Real": counted(arm.real_images),
            "Seeds": str(effect.seeds),
            "Images": counted(effect.images),
        }
        for arm in results.arms
        for effect in arm.controls
        if effect.place == place
    ]
    if not rows:
        return None
    note = "Secondary: corrected over the arms that are compared with the same one on this place."
    caption = f"Against other arms, on {on.place_name(place)}."
    cells = [list(row.values()) for row in rows]
    return Named(caption, list(rows[0]), cells, sortable=True, note=note, names=3)


def secondary_table(results: Results, place: Place) -> Table | None:
    """Other metrics on one place beside the main one: levels, differences to real images alone."""
    found: dict[str, dict[str, Secondary]] = {}
    for line in results.secondary:
        if line.place == place:
            found.setdefault(line.metric, {})[line.arm] = line
    if not found:
        return None
    head = ["Arm", f"{on.metric_name(results)}, difference"]
    for metric in found:
        name = on.named(metric)
        head += [name, f"{name}, difference", f"{name}, p"]
    rows = []
    for arm in results.arms:
        row = [on.label(arm, results), difference(on.effect_at(arm, place))]
        for by_arm in found.values():
            own = by_arm.get(arm.id)
            row += [fixed(own.level[0]) if own else ABSENT, difference(own)]
            row += [p_value(own.p if own else None)]
        rows.append(row)
    note = (
        "Each metric by itself, p after Holm over the arms of the place. At the best threshold: at "
        "the one that is best for each model on these very images, so that what is left of a "
        "difference is not the threshold's."
    )
    caption = f"Other metrics on {on.place_name(place)}."
    return Named(caption, head, rows, sortable=True, note=note)


def difference(effect: Effect | None) -> str:
    """`+0.0081 (+0.0012 to +0.0149)`."""
    mean, low, high = (effect.mean, effect.low, effect.high) if effect else (None,) * 3
    if number(mean) is None or number(low) is None or number(high) is None:
        return signed(mean)
    return f"{signed(mean)} ({signed(low)} to {signed(high)})"


def p_value(value: float | None) -> str:
    """Three digits without an exponent, so that a column of them can be read and sorted."""
    found = number(value)
    if found is None:
        return ABSENT
    if found < 1e-6:
        return "0.000001 or less"
    return np.format_float_positional(found, precision=3, fractional=False, trim="-")
