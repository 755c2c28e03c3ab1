"""Arms as the page speaks of them: families that share a colour, places, effects."""

from __future__ import annotations

from vesselforge.configs.catalogue import TITLES
from vesselforge.pipeline.study.schema import Arm, Effect, Place, Results

Family = tuple[str, str, str]
"""Name, source and order of arms that differ in nothing but the number of images: one line, one
colour. A named arm is one by itself, whatever the number of real images."""


def family(arm: Arm) -> Family:
    return arm.name, arm.source or "", arm.order or ""


def families(results: Results) -> dict[Family, int]:
    """Families of the arms with synthetic images, each with the slot of its colour."""
    found = dict.fromkeys(family(arm) for arm in compared(results))
    return {name: slot for slot, name in enumerate(found)}


def family_label(own: Family, results: Results) -> str:
    """Its name; else `synthetic first`, with the source where there are several."""
    name, source, order = own
    several = len({source for _, source, _ in families(results)}) > 1
    return name or order.replace("-", " ") + (f", {source}" if several else "")


def compared(results: Results) -> list[Arm]:
    """Arms with a real-only arm to be compared with."""
    return [arm for arm in results.arms if arm.baseline is not None]


def is_primary(arm: Arm, effect: Effect | None, results: Results) -> bool:
    """Whether this comparison with its real-only arm is one of those that decide."""
    ends = [endpoint.place for endpoint in results.endpoints]
    return effect is not None and arm.id in results.primary_arms and effect.place in ends


def effect_at(arm: Arm, place: Place) -> Effect | None:
    """The arm's effect on a place, where it was measured."""
    return next((effect for effect in arm.effects if effect.place == place), None)


def difference(effect: Effect | None) -> tuple[float, float, float] | None:
    """Mean, low and high of a paired difference; an absent bound is the mean."""
    if effect is None or effect.mean is None:
        return None
    mean, low, high = effect.mean, effect.low, effect.high
    return mean, mean if low is None else low, mean if high is None else high


def places(results: Results) -> list[Place]:
    """Those of endpoints first, then the others in the order of the study."""
    ends = (endpoint.place for endpoint in results.endpoints)
    return list(dict.fromkeys([*ends, *results.places]))


def place_name(place: Place, results: Results | None = None, real_images: int = 0) -> str:
    """`DRIVE, 1st observer`; `STARE, observer ah`; given results, with the number of real images
    where that differs between arms."""
    name = ", ".join(filter(None, (set_name(place), observer_name(place))))
    several = results is not None and len(sizes(results)) > 1
    return f"{name}, {real_images:,} real images" if several else name


def set_name(place: Place) -> str:
    return TITLES.get(place.set, place.set)


def observer_name(place: Place) -> str:
    if not place.observer or "observer" in place.observer.lower():
        return place.observer
    ordinal = place.observer[:1].isdigit()
    return f"{place.observer} observer" if ordinal else f"observer {place.observer}"


def sizes(results: Results) -> list[int]:
    """Numbers of real training images: those of the primary arms first, each largest first."""
    primary = {arm.real_images for arm in results.arms if arm.id in results.primary_arms}
    found = {arm.real_images for arm in results.arms}
    return sorted(found, key=lambda size: (size not in primary, -size))


def label(arm: Arm, results: Results) -> str:
    """What it is, with the number of real images where that differs between arms."""
    several = len(sizes(results)) > 1
    return f"{arm.label}, {arm.real_images:,} real images" if several else arm.label


def percent(results: Results) -> str:
    """`95 %`, not to be broken: how much of the resamples an interval holds."""
    return f"{100 * (1 - results.alpha):.4g}\N{NO-BREAK SPACE}%"


def done(arm: Arm) -> int:
    return sum(run.status == "completed" for run in arm.runs)
