"""Arms as the page speaks of them: families that share a colour, places, effects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vesselforge.pipeline.statistics.answer import SETS
from vesselforge.pipeline.study.schema import Arm, Effect, Place, Results
from vesselforge.report.tables import METRICS, number

NAMES = METRICS | {
    "f1_best": "F1 at the best threshold",
    "se_thin": "Sensitivity for vessels up to 3 px",
}


class Family(NamedTuple):
    """Arms that differ in nothing but the number of images: one line, one colour. A named arm is
    one by itself, whatever the number of real images."""

    name: str
    source: str
    order: str
    strength: str
    augment: str


def family(arm: Arm) -> Family:
    return Family(arm.name, arm.source or "", arm.order or "", arm.strength, arm.augment)


def families(results: Results) -> dict[Family, int]:
    """Families of the arms with synthetic images, each with the slot of its colour."""
    found = dict.fromkeys(family(arm) for arm in compared(results))
    return {name: slot for slot, name in enumerate(found)}


def family_label(own: Family, results: Results) -> str:
    """Its name; else `synthetic first`, with whatever else differs between arms."""
    if own.name:
        return own.name

    def several(field: str) -> bool:
        return len({getattr(other, field) for other in families(results)}) > 1

    notes = [own.order.replace("-", " ") or "real only"]
    notes += [own.source] if several("source") else []
    notes += [f"{own.strength} augmentation"] if several("strength") else []
    notes += [f"augmented: {own.augment}"] if several("augment") else []
    return ", ".join(notes)


def compared(results: Results) -> list[Arm]:
    """Arms with a real-only arm to be compared with."""
    return [arm for arm in results.arms if arm.baseline is not None]


def real_only(results: Results) -> list[Arm]:
    return [arm for arm in results.arms if arm.baseline is None]


def is_primary(arm: Arm, effect: Effect | None, results: Results) -> bool:
    """Whether this comparison with its real-only arm is one of those that decide."""
    where = {endpoint.place for endpoint in results.endpoints}
    return effect is not None and arm.id in results.primary_arms and effect.place in where


def effect_at(arm: Arm, place: Place) -> Effect | None:
    """The arm's effect on a place, where it was measured."""
    return next((effect for effect in arm.effects if effect.place == place), None)


def level_at(arm: Arm, place: Place) -> tuple[float, float, float] | None:
    """Mean, low and high of the metric itself; an absent bound is the mean."""
    effect = effect_at(arm, place)
    if effect is None or number(effect.level[0]) is None:
        return None
    mean, low, high = effect.level
    return mean, min(_or(low, mean), mean), max(_or(high, mean), mean)


def difference_at(arm: Arm, place: Place) -> tuple[float, float, float] | None:
    """Mean, low and high of the paired difference to its real-only arm."""
    effect = effect_at(arm, place)
    return None if effect is None else value_of(effect)


def value_of(effect: Effect) -> tuple[float, float, float] | None:
    """Mean, low and high of a paired difference; an absent bound is the mean."""
    mean = number(effect.mean)
    return None if mean is None else (mean, _or(effect.low, mean), _or(effect.high, mean))


def _or(value: float | None, other: float) -> float:
    found = number(value)
    return other if found is None else found


def places(results: Results) -> list[Place]:
    """Those of endpoints first, then the others in the order of the study."""
    return list(dict.fromkeys([*endpoints(results), *results.places]))


def endpoints(results: Results) -> list[Place]:
    return [endpoint.place for endpoint in results.endpoints]


def place_name(place: Place) -> str:
    """`DRIVE, 1st observer`; `STARE, observer ah`."""
    observer = observer_name(place)
    return f"{set_name(place)}, {observer}" if observer else set_name(place)


def set_name(place: Place) -> str:
    return SETS.get(place.set, place.set)


def observer_name(place: Place) -> str:
    if not place.observer or "observer" in place.observer.lower():
        return place.observer
    ordinal = place.observer[:1].isdigit()
    return f"{place.observer} observer" if ordinal else f"observer {place.observer}"


def sizes(results: Results) -> list[int]:
    """Numbers of real training images, largest first."""
    return sorted({arm.real_images for arm in results.arms}, reverse=True)


def shown_sizes(results: Results) -> list[int]:
    """Numbers of real training images, those of the primary arms first, each largest first."""
    primary = {arm.real_images for arm in results.arms if arm.id in results.primary_arms}
    return sorted(sizes(results), key=lambda size: (size not in primary, -size))


def of_size(arms: Iterable[Arm], real_images: int) -> list[Arm]:
    return [arm for arm in arms if arm.real_images == real_images]


def metric_name(results: Results) -> str:
    """`F1`, as in a sentence."""
    return named(results.metric)


def named(metric: str) -> str:
    """`F1`, as in a sentence, of any metric."""
    return NAMES.get(metric, metric).split(" (")[0]


def short(arm: Arm) -> str:
    """Its name, or what it is."""
    return arm.name or arm.label


def label(arm: Arm, results: Results) -> str:
    """What it is, with the number of real images where that differs between arms."""
    several = len(sizes(results)) > 1
    return f"{arm.label}, {arm.real_images:,} real images" if several else arm.label


def percent(results: Results) -> str:
    """`95 %`, not to be broken: how much of the resamples an interval holds."""
    return f"{100 * (1 - results.alpha):.4g}\N{NO-BREAK SPACE}%"


def failures(results: Results) -> list[tuple[Arm, int, str]]:
    """(arm, seed, message) of every run that failed."""
    return [
        (arm, run.seed, run.message)
        for arm in results.arms
        for run in arm.runs
        if run.status == "failed"
    ]


def done(arm: Arm) -> int:
    return sum(run.status == "completed" for run in arm.runs)


def validation(arms: Iterable[Arm]) -> float | None:
    """Mean validation F1 of all completed runs; None when none says it."""
    found = [
        run.validation_f1
        for arm in arms
        for run in arm.runs
        if run.status == "completed" and number(run.validation_f1) is not None
    ]
    scores = [score for score in found if score is not None]
    return sum(scores) / len(scores) if scores else None
