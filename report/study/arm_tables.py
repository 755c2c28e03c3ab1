"""Tables of the arms: against real images, against each other, by other metrics."""

from __future__ import annotations

import numpy as np

from vesselforge.pipeline.statistics.answer import METRICS, signed
from vesselforge.pipeline.study.schema import Arm, Effect, Place, Results, Secondary
from vesselforge.report.formatting import ABSENT, counted, fixed, interval
from vesselforge.report.page import Table
from vesselforge.report.study import arm_names as on


def arm_table(results: Results, place: Place) -> Table:
    """Every arm on one place against its real-only arm, and below it against other arms."""
    rows = []
    for arm in results.arms:
        effect = on.effect_at(arm, place)
        used = effect.seeds if effect else on.done(arm)
        rows.append(_row(results, arm, effect, arm.baseline or "", used))
        rows += [
            _row(results, arm, other, other.against, other.seeds)
            for other in arm.controls
            if other.place == place
        ]
    note = (
        f"Mean and difference with {on.percent(results)} interval. Seeds: those the comparison "
        "rests on, of those asked for. p after Holm over the arms compared with their real-only "
        "arms on this place, or with the same other arm"
    )
    note += "; primary: over all primary arms on all endpoints." if results.declared else "."
    caption = f"Arms on {on.place_name(place)}."
    return Table(caption, rows, note, sortable=True)


def _row(
    results: Results, arm: Arm, effect: Effect | None, against: str, seeds: int
) -> dict[str, str]:
    names = {arm.id: arm.short for arm in results.arms}
    verdict = "no result" if effect is None else effect.verdict if effect.against else "real only"
    row = {
        "Arm": arm.label,
        "Compared with": names.get(against, against) or ABSENT,
        "Verdict": verdict,
        METRICS[results.metric]: interval(effect.level, 4) if effect else ABSENT,
        "Difference": difference(effect),
        "p, Holm": p_value(effect.p if effect else None),
        "Detectable": fixed(effect and effect.detectable),
        "Real": counted(arm.real_images),
        "Images": counted(effect and effect.images),
        "Seeds": f"{seeds} of {len(arm.runs)}" if seeds != len(arm.runs) else str(seeds),
    }
    if results.declared:
        primary = effect in arm.effects and on.is_primary(arm, effect, results)
        row["Family"] = "primary" if primary else "secondary" if against else ABSENT
    return row


def secondary_table(results: Results, place: Place) -> Table:
    """Other metrics on one place: levels, and differences to real images alone."""
    found: dict[str, dict[str, Secondary]] = {}
    for line in results.secondary:
        if line.place == place:
            found.setdefault(line.metric, {})[line.arm] = line
    rows = []
    for arm in results.arms if found else ():
        row = {"Arm": on.label(arm, results)}
        for metric, by_arm in found.items():
            name, own = METRICS[metric], by_arm.get(arm.id)
            row[name] = fixed(own.level[0]) if own else ABSENT
            row[f"{name}, difference"] = difference(own)
            row[f"{name}, p"] = p_value(own.p if own else None)
        rows.append(row)
    note = (
        "Each metric by itself, p after Holm over the arms of the place. At the best threshold: at "
        "the one that is best for each model on these very images, so that what is left of a "
        "difference is not the threshold's."
    )
    caption = f"Other metrics on {on.place_name(place)}."
    return Table(caption, rows, note, sortable=True)


def difference(effect: Effect | None) -> str:
    """`+0.0081 (+0.0012 to +0.0149)`."""
    if effect is None or effect.low is None or effect.high is None:
        return signed(effect.mean if effect else None)
    return f"{signed(effect.mean)} ({signed(effect.low)} to {signed(effect.high)})"


def p_value(value: float | None) -> str:
    """Three digits without an exponent, so that a column of them can be read and sorted."""
    if value is None:
        return ABSENT
    if value < 1e-6:
        return "0.000001 or less"
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
