"""The section on the sources of synthetic images: what each gave, and what that looks like."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean

from vesselforge.pipeline.study.schema import Results, SyntheticImages
from vesselforge.pipeline.study.study_sources import SourceOfSize, by_source
from vesselforge.report.pictures import Picture, opened, picture
from vesselforge.report.study.study_reading import Study
from vesselforge.report.study.study_tables import Named, spread, tenths, with_error
from vesselforge.report.tables import ABSENT, Table

_SHEET_PX = 2400
"""Wider ones are shown smaller; ours are 1578 px at most."""
NOTE = (
    "Means over the seeds, with their range in brackets. In range: images with vessel maps like "
    "real ones. KID ± its standard deviation over resamplings; floor: the same of real images "
    "against other real ones. What KID says: “cannot tell” the images from real ones where that "
    "error is as large as the distance from the floor, “a hint” up to two standard deviations of "
    "both together, “can be told” beyond."
)


def source_table(results: Results) -> Table | None:
    """Every source with every number of real images: how many images, vessels, KID."""
    rows = [_row(source) for source in by_source(results.synthetic)]
    if not rows:
        return None
    cells = [list(row.values()) for row in rows]
    return Named("What each source gave.", list(rows[0]), cells, note=NOTE)


def _row(source: SourceOfSize) -> dict[str, str]:
    """Seeds whose images were not made count for nothing but their number."""
    made, realism = [one for one in source.seeds if one.drawn], source.realism
    kid = with_error([r.kid for r in realism], [r.kid_std for r in realism])
    floors = [r.kid_floor for r in realism if r.kid_floor is not None]
    return {
        "Source": source.name,
        "Real": f"{source.real_images:,}",
        "Seeds": f"{len(made)} of {len(source.seeds)}" if made != source.seeds else str(len(made)),
        "Show vessels": _vessels(source),
        "KID": kid or _no_kid(source.seeds),
        "KID says": source.kid or (_no_kid(source.seeds) if kid else ABSENT),
        "Floor": with_error([mean(floors)] if floors else [], [r.kid_floor_std for r in realism])
        or ABSENT,
        "Drawn": spread([one.drawn for one in made], tenths),
        "Kept": spread([one.kept for one in made], tenths),
        "In range": spread([one.in_range for one in made if one.in_range is not None], tenths),
    }


def _vessels(source: SourceOfSize) -> str:
    if any(one.photographs for one in source.seeds):
        return "real images"
    return source.evidence.in_short if source.evidence else "not compared"


def _no_kid(seeds: Iterable[SyntheticImages]) -> str:
    """Why no seed has one, or none that says anything."""
    return "; ".join(dict.fromkeys(one.kid_verdict for one in seeds if one.kid_verdict)) or ABSENT


def sample_pictures(study: Study) -> list[Picture]:
    """A sheet for each source that has one; what cannot be read is noted."""
    found = []
    for samples in study.results.samples:
        if not samples.picture:
            continue
        content = study.picture(samples.picture, "")
        alt = f"Images of source {samples.source} in a row, their vessel labels below them"
        shown = picture(opened(content), alt, samples.caption, _SHEET_PX)
        if shown is not None:
            found.append(shown)
        elif content is not None:
            study.note(f"{samples.picture} is no readable picture; it is not shown")
    return found


def not_shown(results: Results) -> list[str]:
    """Sources without a picture, and why."""
    return [f"{s.source} is not shown: {s.caption}." for s in results.samples if not s.picture]
