"""Tables of the arms: against real images, against each other, by other metrics, in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vesselforge.pipeline.study.schema import (
    Arm,
    Effect,
    EnsembleScore,
    Place,
    Results,
    Secondary,
)
from vesselforge.report.formatting import ABSENT, counted, fixed, interval, signed, spoken
from vesselforge.report.page import Table
from vesselforge.report.study import arm_names as on


def arm_table(results: Results, place: Place) -> Table:
    """Every arm on one place, real-only arms first among theirs."""
    names = on.shorts(results)
    varies = {
        "Family": results.declared,
        "Source": len({arm.source for arm in on.compared(results)}) > 1,
        "Augmented": len({arm.augment for arm in results.arms}) > 1,
        "Augmentation": len({arm.strength for arm in results.arms}) > 1,
        "Compared with": len(on.real_only(results)) > 1,
    }
    rows = [_arm_row(results, arm, place, names) for arm in results.arms]
    rows = [{k: v for k, v in row.items() if varies.get(k, True)} for row in rows]
    note = (
        f"Mean and difference with {on.percent(results)} interval. Seeds: those the comparison "
        "rests on, of those asked for."
    )
    if results.declared:
        note += " Primary: corrected over all primary arms on all endpoints."
    caption = f"Arms on {on.place_name(place)}."
    return Table.of(caption, rows, note=note, sortable=True, names=2)


def _arm_row(results: Results, arm: Arm, place: Place, names: Mapping[str, str]) -> dict[str, str]:
    effect = on.effect_at(arm, place)
    used = effect.seeds if effect else on.done(arm)
    primary = on.is_primary(arm, effect, results)
    return {
        "Arm": arm.label,
        "Verdict": _verdict(arm, effect),
        on.metric_name(results.metric): interval(effect.level, 4) if effect else ABSENT,
        "Difference": difference(effect),
        **_tests(effect),
        "Family": ABSENT if arm.baseline is None else "primary" if primary else "secondary",
        "Synthetic": counted(arm.count),
        "Source": arm.source or ABSENT,
        "Order": (arm.order or ABSENT).replace("-", " "),
        "Augmented": arm.augment,
        "Augmentation": arm.strength,
        "Real": counted(arm.real_images),
        "Compared with": names.get(arm.baseline or "", ABSENT),
        "Seeds": f"{used} of {len(arm.runs)}" if used != len(arm.runs) else str(used),
        "Images": counted(effect.images if effect else None),
    }


def _verdict(arm: Arm, effect: Effect | None) -> str:
    if arm.baseline is None:
        return "real only"
    if effect is not None:
        return effect.verdict
    return "too few images kept" if any(run.short for run in arm.runs) else "no result"


def _tests(effect: Effect | None) -> dict[str, str]:
    if effect is None:
        return dict.fromkeys(("p, Holm", "Detectable", "p, images", "p, seeds"), ABSENT)
    return {
        "p, Holm": p_value(effect.p),
        "Detectable": fixed(effect.detectable),
        "p, images": p_value(effect.p_images),
        "p, seeds": p_value(effect.p_seeds),
    }


def control_table(results: Results, place: Place) -> Table:
    """Arms against others than their real-only arm, on one place."""
    names = on.shorts(results)
    rows = [
        {
            "Arm": on.short(arm),
            "Against": names.get(effect.against, effect.against),
            "Verdict": effect.verdict,
            "Difference": difference(effect),
            **_tests(effect),
            "Real": counted(arm.real_images),
            "Seeds": str(effect.seeds),
            "Images": counted(effect.images),
        }
        for arm in results.arms
        for effect in arm.controls
        if effect.place == place
    ]
    note = "Secondary: corrected over the arms that are compared with the same one on this place."
    caption = f"Against other arms, on {on.place_name(place)}."
    return Table.of(caption, rows, note=note, sortable=True, names=3)


def secondary_table(results: Results, place: Place) -> Table | None:
    """Other metrics on one place beside the main one: levels, differences to real images alone."""
    found: dict[str, dict[str, Secondary]] = {}
    for line in results.secondary:
        if line.place == place:
            found.setdefault(line.metric, {})[line.arm] = line
    if not found:
        return None
    rows = []
    for arm in results.arms:
        main = difference(on.effect_at(arm, place))
        row = {
            "Arm": on.label(arm, results),
            f"{on.metric_name(results.metric)}, difference": main,
        }
        for metric, by_arm in found.items():
            name, own = on.metric_name(metric), by_arm.get(arm.id)
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
    return Table.of(caption, rows, note=note, sortable=True)


def difference(effect: Effect | None) -> str:
    """`+0.0081 (+0.0012 to +0.0149)`."""
    if effect is None or effect.low is None or effect.high is None:
        return signed(effect and effect.mean)
    return f"{signed(effect.mean)} ({signed(effect.low)} to {signed(effect.high)})"


def p_value(value: float | None) -> str:
    """Three digits without an exponent, so that a column of them can be read and sorted."""
    if value is None:
        return ABSENT
    if value < 1e-6:
        return "0.000001 or less"
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


def score_table(results: Results, scores: Sequence[EnsembleScore], caption: str) -> Table:
    """Levels of ensembles or of references, a column a place."""
    names = on.labels(results)
    rows: dict[tuple[str, str, int], dict[str, str]] = {}
    for score in scores:
        who = names.get(score.arm, spoken(score.arm))
        row = {"Who": who} | (
            {"Method": score.method, "Members": str(score.members)} if score.method else {}
        )
        row = rows.setdefault((who, score.method, score.members), row)
        row[on.place_name(score.place)] = interval(score.level, 4)
    metric = on.metric_name(results.metric)
    note = f"Mean {metric} with {on.percent(results)} interval over images alone."
    return Table.of(caption, list(rows.values()), note=note, sortable=True)


def training_table(results: Results) -> Table:
    """Every training of every arm."""
    rows = [
        {
            "Arm": on.label(arm, results),
            "Seed": str(run.seed),
            "Status": run.status,
            "Validation F1": fixed(run.validation_f1),
            "Threshold": fixed(run.threshold, 3),
            "Message": run.message or ABSENT,
        }
        for arm in results.arms
        for run in arm.runs
    ]
    note = "Thresholds are chosen on validation images."
    return Table.of("Trainings.", rows, note=note, sortable=True)
