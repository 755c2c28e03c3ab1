"""What a reader should know of comparisons that were asked for and could not be made."""

from __future__ import annotations

from collections.abc import Sequence

from vesselforge.pipeline.study.per_image import Values
from vesselforge.pipeline.study.schema import Arm, Endpoint, Place


def remarks(arms: Sequence[Arm], endpoints: Sequence[Endpoint], values: Values) -> list[str]:
    """Endpoints without images, and arms that something is not compared with, and why."""
    return [*_missing_sets(endpoints, values), *_missing_arms(arms)]


def _missing_sets(endpoints: Sequence[Endpoint], values: Values) -> list[str]:
    found = []
    for endpoint in endpoints:
        observer = endpoint.place.observer
        lacking = [s for s in endpoint.sets if Place(set=s, observer=observer) not in values]
        if lacking and values:
            found.append(
                f"Endpoint {endpoint.name} is left out: no image of {', '.join(lacking)} has been "
                f"scored against the drawings of observer {observer}."
            )
    return found


def _missing_arms(arms: Sequence[Arm]) -> list[str]:
    """One line for each arm that is not there for others. Arms that failed themselves are told of
    elsewhere."""
    known = {arm.id: arm for arm in arms}
    several = len({arm.real_images for arm in arms}) > 1

    def name(arm: Arm) -> str:
        own = arm.name or arm.label
        return f"{own} ({arm.real_images} real images)" if several else own

    lacking: dict[tuple[str, str], list[str]] = {}
    for arm in arms:
        met = {e.against for e in (*arm.effects, *arm.controls) if e.mean is not None}
        for other in [arm.baseline, *arm.against] if arm.effects else ():
            if other is None or other in met:
                continue
            if (found := known.get(other)) is None:
                why = other, "an arm that this study does not have"
            elif not found.effects:
                why = name(found), "which has no result"
            else:
                why = name(found), "for they share no seed and image"
            lacking.setdefault(why, []).append(name(arm))
    return [
        f"Not compared with {other}, {why}: {', '.join(held)}."
        for (other, why), held in lacking.items()
    ]
