"""Each source of synthetic images over its seeds: what may be said of it as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vesselforge.generator.metrics.kid_verdict import kid_in_short
from vesselforge.pipeline.evidence import Evidence
from vesselforge.pipeline.study.schema import Realism, SyntheticImages
from vesselforge.pipeline.study.synthetic import kid_figures


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
    def realism(self) -> list[Realism]:
        """Of each seed whose images were scored."""
        return [one.realism for one in self.seeds if one.realism is not None]

    @property
    def kid(self) -> str:
        """What KID allows to be said, in a few words: by the means over the seeds, and how many of
        them say so by themselves where not all do. Empty without a KID."""
        realism = mean_realism(self.realism)
        said = kid_in_short(kid_figures(realism)) if realism else ""
        alike = sum(kid_in_short(kid_figures(one)) == said for one in self.realism)
        if not said or alike == len(self.realism):
            return said
        return f"{said} ({alike} of {len(self.realism)} seeds)"

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


def mean_realism(figures: Sequence[Realism]) -> Realism | None:
    """Figure by figure over those that have it; None without any."""
    if not figures:
        return None
    columns = {key: [getattr(one, key) for one in figures] for key in Realism.model_fields}
    known = {key: [v for v in values if v is not None] for key, values in columns.items()}
    return Realism(**{key: float(np.mean(values)) for key, values in known.items() if values})


def source_warnings(synthetic: Iterable[SyntheticImages]) -> list[str]:
    """What is wrong with whole sources, for the terminal and the top of the page."""
    sources = by_source(synthetic)
    several = len({source.real_images for source in sources}) > 1

    def name(source: SourceOfSize) -> str:
        return f"{source.name}, {source.real_images} real images" if several else source.name

    return [f"Source {name(s)}: {warning}" for s in sources for warning in s.warnings]
