"""Tables and pictures of the sources of synthetic images: what each gave, and how real that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.documents import inside
from vesselforge.pipeline.study.schema import RESULTS, Realism, Results
from vesselforge.pipeline.study.study_sources import SourceOfSize, by_source
from vesselforge.report.formatting import ABSENT, counted, significant, spoken
from vesselforge.report.page import Block, Figure, Figures, Table, Text
from vesselforge.report.pictures import opened, picture
from vesselforge.report.study import words

_SHEET_PX = 2400
"""Wider sheets of samples are shown smaller; ours are 1578 px at most."""


@dataclass(frozen=True)
class Study:
    """results: what was found; problems: what could not be read."""

    folder: Path
    results: Results
    problems: list[str] = field(default_factory=list)

    def picture(self, name: str, alt: str, caption: str) -> Figure | None:
        """A picture of the run folder; what cannot be read, or leads elsewhere, is noted."""
        try:
            content = inside(self.folder, name, self.folder / RESULTS).read_bytes()
        except (OSError, WorkspaceError):
            self.problems.append(f"{name} cannot be read, and is not shown")
            return None
        shown = picture(opened(content), alt, caption, _SHEET_PX)
        if shown is None:
            self.problems.append(f"{name} is no readable picture; it is not shown")
        return shown


def source_table(results: Results) -> Table:
    """Every source with every number of real images: how many images, vessels, KID."""
    rows = [_source_row(source) for source in by_source(results.synthetic)]
    return Table("What each source gave.", rows, words.SOURCES)


def _source_row(source: SourceOfSize) -> dict[str, str]:
    """Counts of all seeds and folds together."""
    rejected = sum((Counter(one.reasons) for one in source.given), Counter[str]())
    reasons = (f"{spoken(reason)} {count:,}" for reason, count in rejected.most_common())
    photographs = any(one.photographs for one in source.given)
    seen = source.evidence
    vessels = "real images" if photographs else seen.in_short if seen else "not compared"
    found = source.realism or Realism()
    return {
        "Source": source.name,
        "Real": counted(source.real_images),
        "Seeds": counted(source.seeds),
        "Drawn": counted(sum(one.drawn for one in source.given)),
        "Kept": counted(sum(one.kept for one in source.given)),
        "Rejected": ", ".join(reasons) or ABSENT,
        "In range": counted(seen and seen.drawn_in_range),
        "Show vessels": vessels,
        "KID": with_error(found.kid, found.kid_std),
        "Floor": with_error(found.kid_floor, found.kid_floor_std),
        "KID says": source.kid or ABSENT,
    }


def memory_table(results: Results) -> Table:
    """How near the images that students saw come to training images."""
    rows = [
        {
            "Source": source.name,
            "Real": counted(source.real_images),
            "Distance": significant(found.distance),
            "Suspicious": _percent(found.copies),
            "Expected": _percent(found.expected),
            "C_T": significant(found.c_t),
        }
        for source in by_source(results.synthetic)
        if (found := source.realism) is not None
    ]
    return Table("Synthetic images beside training images.", rows, words.COPIES)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.3g} %"


def with_error(value: float | None, error: float | None) -> str:
    """`0.052 ± 0.004`, with as many digits as an error leaves."""
    return significant(value, 2) + ("" if error is None else f" ± {significant(error, 2)}")


def sample_blocks(study: Study) -> list[Block]:
    """A sheet for each source that has one, and why the others have none."""
    alt = "Images of source {} in a row, their vessel labels below them"
    shown, why = [], []
    for samples in study.results.samples:
        if samples.picture:
            said = alt.format(samples.source)
            shown.append(study.picture(samples.picture, said, samples.caption))
        else:
            why.append(Text(f"{samples.source} is not shown: {samples.caption}.", "quiet"))
    return [Figures(shown, "strips"), *why]


def nearest_blocks(study: Study) -> list[Block]:
    """For each source the samples nearest to a training image, beside it."""
    alt = "Samples of source {} beside the training views nearest to them"
    caption = "source {}: samples (left) and the training view nearest to each (right)"
    shown = [
        study.picture(s.nearest, alt.format(s.source), caption.format(s.source))
        for s in study.results.samples
        if s.nearest
    ]
    return [Figures(shown, "strips"), Text(words.LEAK, "quiet")] if shown else []
