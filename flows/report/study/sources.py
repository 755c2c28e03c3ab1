"""The section on the sources of synthetic images: what each gave, and what that looks like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.report.pictures import Picture, opened, picture
from flows.report.study.reading import Study
from flows.report.study.tables import Named, spread, with_error
from flows.report.tables import ABSENT, Table
from flows.study.schema import Results, SyntheticImages
from flows.study.sources import SourceOfSize, by_source

_SHEET_PX = 2400
"""Wider ones are shown smaller; ours are 1578 px at most."""
NOTE = (
    "Of the several seeds of a source the mean, with the range in brackets. In range: of the "
    "drawn, how many have vessel maps like real ones. KID and its floor (real images against other "
    "real ones): ± one standard deviation over resamplings, the mean of the seeds'. Cannot tell: "
    "that error is as large as the distance from the floor; a hint: less than two standard "
    "deviations, of KID and floor together, lie between them; can be told: more do, and the images "
    "can be told from real ones."
)


def source_table(results: Results) -> Table | None:
    """Every source with every number of real images: how many images, vessels, KID."""
    rows = [_row(source) for source in by_source(results.synthetic)]
    if not rows:
        return None
    head, cells = list(rows[0]), [list(row.values()) for row in rows]
    return Named("What each source gave.", head, cells, sortable=True, note=NOTE)


def _row(source: SourceOfSize) -> dict[str, str]:
    """Seeds whose images were not made count for nothing but their number."""
    made, realism = [one for one in source.seeds if one.drawn], source.realism
    return {
        "Source": source.name,
        "Real": f"{source.real_images:,}",
        "Seeds": f"{len(made)} of {len(source.seeds)}" if made != source.seeds else str(len(made)),
        "Drawn": spread([one.drawn for one in made]),
        "Kept": spread([one.kept for one in made]),
        "In range": spread([one.in_range for one in made if one.in_range is not None]),
        "Vessels": _vessels(source, made),
        "KID": with_error([r.kid for r in realism], [r.kid_std for r in realism])
        or _no_kid(source.seeds),
        "Floor": with_error([r.kid_floor for r in realism], [r.kid_floor_std for r in realism])
        or ABSENT,
        "By its KID": source.kid or ABSENT,
    }


def _vessels(source: SourceOfSize, made: Sequence[SyntheticImages]) -> str:
    """Whether the images show vessels, as the page of a run says it."""
    if any(one.photographs for one in source.seeds):
        return "real images"
    if source.evidence is None:
        return "not compared" if made else ABSENT
    return source.evidence.verdict or "in enough of them"


def _no_kid(seeds: Iterable[SyntheticImages]) -> str:
    """Why no seed has one."""
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
    return [f"{s.source}: {s.caption}." for s in results.samples if not s.picture]
