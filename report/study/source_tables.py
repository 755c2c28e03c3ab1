"""Tables and pictures of the sources of synthetic images: what each gave, and how real that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vesselforge.pipeline.study.schema import Results
from vesselforge.pipeline.study.study_sources import SourceOfSize, by_source
from vesselforge.report.formatting import ABSENT, counted, significant, spoken
from vesselforge.report.page import Block, Figure, Figures, Table, Text
from vesselforge.report.pictures import opened, picture
from vesselforge.report.study import words

_LARGEST_PICTURE = 20_000_000  # bytes; pairs of fundus images have a tenth of it
_SHEET_PX = 2400
"""Wider sheets of samples are shown smaller; ours are 1578 px at most."""


@dataclass(frozen=True)
class Study:
    """results: what was found; problems: what could not be read."""

    folder: Path
    results: Results
    problems: list[str] = field(default_factory=list)

    def picture(self, name: str, alt: str, caption: str, side: int) -> Figure | None:
        """A picture of the run folder; what cannot be read, or leads elsewhere, is noted."""
        path = self.folder / name
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise OSError
            content = path.read_bytes() if path.stat().st_size <= _LARGEST_PICTURE else b""
        except (OSError, ValueError):
            self.problems.append(f"{name} cannot be read, and is not shown")
            return None
        shown = picture(opened(content), alt, caption, side)
        if shown is None:
            self.problems.append(f"{name} is no readable picture; it is not shown")
        return shown


def source_table(results: Results) -> Table:
    """Every source with every number of real images: how many images, vessels, KID."""
    rows = [_source_row(source) for source in by_source(results.synthetic)]
    return Table.of("What each source gave.", rows, note=words.SOURCES)


def _source_row(source: SourceOfSize) -> dict[str, str]:
    """Counts of all seeds together."""
    rejected = sum((Counter(one.reasons) for one in source.seeds), Counter[str]())
    reasons = (f"{spoken(reason)} {count:,}" for reason, count in rejected.most_common())
    photographs = any(one.photographs for one in source.seeds)
    seen = source.evidence
    vessels = "real images" if photographs else seen.in_short if seen else "not compared"
    figures = dict(source.realism or {})
    return {
        "Source": source.name,
        "Real": counted(source.real_images),
        "Seeds": counted(len(source.seeds)),
        "Drawn": counted(sum(one.drawn for one in source.seeds)),
        "Kept": counted(sum(one.kept for one in source.seeds)),
        "Rejected": ", ".join(reasons) or ABSENT,
        "In range": counted(seen and seen.drawn_in_range),
        "Show vessels": vessels,
        "KID": with_error(figures.get("kid"), figures.get("kid_std")),
        "Floor": with_error(figures.get("kid_floor"), figures.get("kid_floor_std")),
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
    return Table.of("Synthetic images beside training images.", rows, note=words.COPIES)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.3g} %"


def with_error(value: float | None, error: float | None) -> str:
    """`0.052 ± 0.004`, with as many digits as an error leaves."""
    return significant(value, 2) + ("" if error is None else f" ± {significant(error, 2)}")


def sample_blocks(study: Study) -> list[Block]:
    """A sheet for each source that has one, and why the others have none."""
    shown = [
        study.picture(
            samples.picture,
            f"Images of source {samples.source} in a row, their vessel labels below them",
            samples.caption,
            _SHEET_PX,
        )
        for samples in study.results.samples
        if samples.picture
    ]
    others = [s for s in study.results.samples if not s.picture]
    why = [Text(f"{s.source} is not shown: {s.caption}.", "quiet") for s in others]
    return [Figures(shown, "strips"), *why]


def nearest_blocks(study: Study) -> list[Block]:
    """For each source the samples nearest to a training image, beside it."""
    caption = "source {}: samples (left) and the training view nearest to each (right)"
    shown = [
        study.picture(
            samples.nearest,
            f"Samples of source {samples.source} beside the training views nearest to them",
            caption.format(samples.source),
            _SHEET_PX,
        )
        for samples in study.results.samples
        if samples.nearest
    ]
    return [Figures(shown, "strips"), Text(words.LEAK, "quiet")] if shown else []
