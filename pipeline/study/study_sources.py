"""What every source of synthetic images gave: how many, whether they show vessels, how like real
ones they are; by origin, and over all seeds and folds.

The verdicts are those of a run's page, made by the same functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vesselforge.generator.metrics.kid_verdict import kid_in_short
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.study.conduct import StudyFold
from vesselforge.pipeline.study.schema import Realism, SyntheticImages
from vesselforge.pipeline.study.study_works import Origin


@dataclass(frozen=True)
class SourceOfSize:
    """One source with one number of real images. given: what it gave with each seed, in each
    fold."""

    name: str
    real_images: int
    given: Sequence[SyntheticImages]

    @property
    def seeds(self) -> int:
        return len({one.seed for one in self.given})

    @property
    def evidence(self) -> Evidence | None:
        """Whether its images show vessels, all of them together."""
        return Evidence.total(
            None
            if one.in_range is None
            else Evidence(one.drawn, one.in_range, one.kept, one.kept_in_range or 0)
            for one in self.given
            if one.drawn
        )

    @property
    def realism(self) -> Realism | None:
        """Figure by figure the mean over what has it; None without any."""
        known = [one.realism for one in self.given if one.realism is not None]
        means = {}
        for name in Realism.model_fields:
            values = [figure for one in known if (figure := getattr(one, name)) is not None]
            means[name] = float(np.mean(values)) if values else None
        return Realism(**means) if known else None

    @property
    def kid(self) -> str:
        """What KID allows to be said, in a few words; empty without a KID."""
        return kid_in_short(self.realism.model_dump(by_alias=True)) if self.realism else ""

    @property
    def warnings(self) -> list[str]:
        """Sentences without which no score of its images, or of a student, should be read."""
        found = [self.evidence.sentence] if self.evidence and self.evidence.verdict else []
        if bad := [one for one in self.given if one.untrained]:
            which = "" if len(bad) == len(self.given) else f" in {len(bad)} of {len(self.given)}"
            where = "seeds" if len(self.given) == self.seeds else "seeds and folds"
            found.append(f"The generator is {bad[0].untrained}{which and f'{which} {where}'}.")
        return found


def by_source(synthetic: Iterable[SyntheticImages]) -> list[SourceOfSize]:
    """Every source with every number of real images, in the order of the records."""
    groups: dict[tuple[str, int], list[SyntheticImages]] = {}
    for one in synthetic:
        groups.setdefault((one.source, one.real_images), []).append(one)
    return [SourceOfSize(*key, given) for key, given in groups.items()]


def source_warnings(synthetic: Iterable[SyntheticImages]) -> list[str]:
    """What is wrong with whole sources, for the terminal and the top of the page."""
    sources = by_source(synthetic)
    several = len({source.real_images for source in sources}) > 1
    found = []
    for source in sources:
        name = source.name + (f", {source.real_images} real images" if several else "")
        found += [f"Source {name}: {warning}" for warning in source.warnings]
    return found


def synthetic_images(study: StudyFold, origin: Origin) -> SyntheticImages:
    """What became of an origin's images, all its pools together."""
    done = study.executor.artifact
    made = [pool.metrics for pool in map(done, study.used[origin]) if pool is not None]
    kept, rejected = (sum(metrics[key] for metrics in made) for key in ("kept", "rejected"))
    reasons = sum((Counter(metrics["reasons"]) for metrics in made), Counter[str]())
    kind = study.plan.samples(origin, 0).kind
    evidence = Evidence.total(Evidence.of(metrics, kind) for metrics in made)
    work, scoring = study.plan.supplied(origin).generator(), study.scores.get(origin)
    generator, scores = work and done(work), scoring and done(scoring)
    inputs = {**work.inputs, **work.outside} if work else {}
    return SyntheticImages(
        origin=study.plan.name(origin),
        source=origin.source,
        real_images=origin.real_images,
        seed=max(origin.seed, origin.draw),
        photographs=study.plan.limited(origin),
        drawn=kept + rejected,
        kept=kept,
        reasons=dict(reasons),
        in_range=None if evidence is None else evidence.drawn_in_range,
        kept_in_range=None if evidence is None else evidence.kept_in_range,
        untrained=untrained(generator.metrics, inputs) if generator else "",
        realism=Realism.model_validate(scores.metrics) if scores else None,
    )
