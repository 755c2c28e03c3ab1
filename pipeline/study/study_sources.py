"""What every source of synthetic images gave: how many, whether they show vessels, how like real
ones they are; by origin, and over all seeds.

The verdicts are those of a run's page, made by the same functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vesselforge.generator.metrics.kid_verdict import kid_in_short
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.schema import Realism, SyntheticImages
from vesselforge.pipeline.study.study_works import Origin


@dataclass(frozen=True)
class SourceOfSize:
    """One source with one number of real images. seeds: what it gave with each."""

    name: str
    real_images: int
    seeds: Sequence[SyntheticImages]

    @property
    def evidence(self) -> Evidence | None:
        """Whether its images show vessels, those of all seeds together."""
        return Evidence.total(
            None
            if one.in_range is None
            else Evidence(one.drawn, one.in_range, one.kept, one.kept_in_range or 0)
            for one in self.seeds
            if one.drawn
        )

    @property
    def realism(self) -> Realism | None:
        """Figure by figure the mean over the seeds that have it; None without any."""
        known = [dict(one.realism) for one in self.seeds if one.realism is not None]
        columns = {key: [one[key] for one in known if one[key] is not None] for key in REALISM}
        means = {key: float(np.mean(values)) for key, values in columns.items() if values}
        return Realism(**means) if known else None

    @property
    def kid(self) -> str:
        """What KID allows to be said, in a few words; empty without a KID."""
        figures = dict(self.realism or {})
        return kid_in_short({name: figures.get(key) for key, name in REALISM.items()})

    @property
    def warnings(self) -> list[str]:
        """Sentences without which no score of its images, or of a student, should be read."""
        found = [self.evidence.sentence] if self.evidence and self.evidence.verdict else []
        if bad := [one for one in self.seeds if one.untrained]:
            which = "" if len(bad) == len(self.seeds) else f" in {len(bad)} of {len(self.seeds)}"
            found.append(f"The generator is {bad[0].untrained}{which and f'{which} seeds'}.")
        return found


def by_source(synthetic: Iterable[SyntheticImages]) -> list[SourceOfSize]:
    """Every source with every number of real images, in the order of the records."""
    groups: dict[tuple[str, int], list[SyntheticImages]] = {}
    for one in synthetic:
        groups.setdefault((one.source, one.real_images), []).append(one)
    return [SourceOfSize(*key, seeds) for key, seeds in groups.items()]


def source_warnings(synthetic: Iterable[SyntheticImages]) -> list[str]:
    """What is wrong with whole sources, for the terminal and the top of the page."""
    sources = by_source(synthetic)
    several = len({source.real_images for source in sources}) > 1

    def name(source: SourceOfSize) -> str:
        return f"{source.name}, {source.real_images} real images" if several else source.name

    return [f"Source {name(s)}: {warning}" for s in sources for warning in s.warnings]


REALISM = {
    "kid": "kid_mean",
    "kid_std": "kid_std",
    "kid_floor": "kid_floor_mean",
    "kid_floor_std": "kid_floor_std",
    "distance": "relative_distance",
    "copies": "copy_ratio",
    "expected": "copy_expected",
    "c_t": "c_t",
}
"""Fields of Realism → figures of `generator.score`."""


def synthetic_images(study: Study) -> list[SyntheticImages]:
    """One record for each origin of the study."""
    return [_of_origin(study, origin, pools) for origin, pools in study.used.items()]


def _realism(study: Study, origin: Origin) -> Realism | None:
    """Of the largest selection; None where there is none, or it was not scored."""
    work = study.realism(origin)
    made = None if work is None else study.executor.artifact(work)
    if made is None:
        return None
    found = {key: made.metrics.get(name) for key, name in REALISM.items()}
    return Realism(**{k: float(v) for k, v in found.items() if isinstance(v, int | float)})


def _of_origin(study: Study, origin: Origin, pools: Sequence[Work]) -> SyntheticImages:
    """What became of an origin's images, all its pools together."""
    made = [m.metrics for m in map(study.executor.artifact, pools) if m is not None]
    kept = sum(metrics["kept"] for metrics in made)
    reasons: Counter[str] = Counter()
    for metrics in made:
        reasons.update(metrics["reasons"])
    kind = study.plan.samples(origin, 0).kind
    evidence = Evidence.total(Evidence.of(metrics, kind) for metrics in made)
    return SyntheticImages(
        origin=origin.name,
        source=origin.source,
        real_images=origin.real_images,
        seed=max(origin.seed, origin.draw),
        photographs=study.plan.limited(origin),
        drawn=kept + sum(metrics["rejected"] for metrics in made),
        kept=kept,
        reasons=dict(reasons),
        in_range=None if evidence is None else evidence.drawn_in_range,
        kept_in_range=None if evidence is None else evidence.kept_in_range,
        untrained=_untrained(study.plan.supplied(origin).generator(), study),
        realism=_realism(study, origin),
    )


def _untrained(generator: Work | None, study: Study) -> str:
    made = None if generator is None else study.executor.artifact(generator)
    if generator is None or made is None:
        return ""
    return untrained(made.metrics, {**generator.inputs, **generator.outside})
