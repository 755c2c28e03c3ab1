"""What every source gave: how many images, whether they show vessels, how like real ones they are.

The verdicts are those of a run's page, made by the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from vesselforge.engine.artifacts import Artifact
from vesselforge.generator.metrics.kid_verdict import kid_verdict
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.schema import Realism, SyntheticImages
from vesselforge.pipeline.study.study_works import Origin

REALISM = {
    "kid": "kid_mean",
    "kid_std": "kid_std",
    "kid_floor": "kid_floor_mean",
    "kid_floor_std": "kid_floor_std",
    "fid": "fid",
    "distance": "relative_distance",
    "copies": "copy_ratio",
    "expected": "copy_expected",
    "c_t": "c_t",
}
"""Fields of Realism → figures of `generator.score`."""


def synthetic_images(study: Study) -> list[SyntheticImages]:
    """One record for each origin of the study."""
    return [_of_origin(study, origin, pools) for origin, pools in study.used.items()]


def realism_of(study: Study, origin: Origin, count: int) -> Realism | None:
    """Of the selection of so many images; None where it was not made or not scored."""
    selection = study.selections.get((origin, count))
    work = None if selection is None else study.plan.realism(origin, selection)
    made = study.executor.artifact(work) if work is not None else None
    if made is None:
        return None
    found = {key: made.metrics.get(name) for key, name in REALISM.items()}
    return Realism(**{k: float(v) for k, v in found.items() if isinstance(v, int | float)})


def kid_figures(realism: Realism) -> dict[str, float | None]:
    """As `generator.score` calls them, and the verdicts on them expect them."""
    return {REALISM[key]: value for key, value in realism if key.startswith("kid")}


def _of_origin(study: Study, origin: Origin, pools: Sequence[Work]) -> SyntheticImages:
    """What became of an origin's images, all its pools together."""
    made = [m.metrics for m in map(study.executor.artifact, pools) if m is not None]
    kept = sum(metrics["kept"] for metrics in made)
    reasons: Counter[str] = Counter()
    for metrics in made:
        reasons.update(metrics["reasons"])
    kind = study.plan.samples(origin, 0).kind
    evidence = Evidence.total(Evidence.of(metrics, kind) for metrics in made)
    count = max((n for chosen, n in study.selections if chosen == origin), default=0)
    realism = realism_of(study, origin, count)
    return SyntheticImages(
        origin=origin.name,
        source=origin.source,
        real_images=origin.real_images,
        seed=max(origin.seed, origin.draw),
        photographs=study.plan.photographs(origin),
        drawn=kept + sum(metrics["rejected"] for metrics in made),
        kept=kept,
        reasons=dict(reasons),
        in_range=None if evidence is None else evidence.drawn_in_range,
        kept_in_range=None if evidence is None else evidence.kept_in_range,
        structure="" if evidence is None else evidence.sentence,
        untrained=_untrained(study.plan.supplied(origin).generator(), study),
        count=count,
        realism=realism,
        kid_verdict=_kid(study, origin, count, realism),
    )


def _untrained(generator: Work | None, study: Study) -> str:
    made: Artifact | None = None if generator is None else study.executor.artifact(generator)
    if generator is None or made is None:
        return ""
    inputs: Mapping[str, object] = {**generator.inputs, **generator.outside}
    return untrained(made.metrics, inputs)


def _kid(study: Study, origin: Origin, count: int, realism: Realism | None) -> str:
    """What KID allows to be said, or why there is none."""
    if study.plan.photographs(origin):
        return "none: these are real images"
    if count == 0:
        short = any(s.short for (chosen, _), s in study.shortage.items() if chosen == origin)
        return "none: too few images were kept" if short else "none: the images were not made"
    if realism is None or realism.kid is None:
        return "none: the images were not scored"
    return kid_verdict(kid_figures(realism)) or "no verdict: too few real images for a floor"
