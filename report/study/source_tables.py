"""Tables and pictures of the sources of synthetic images: what each gave, and how real that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean

from vesselforge.pipeline.study.schema import Copy, Realism, Results, SyntheticImages
from vesselforge.pipeline.study.study_sources import SourceOfSize, by_source
from vesselforge.report.formatting import ABSENT, counted, fixed, significant, spoken
from vesselforge.report.page import Block, Figure, Figures, Table, Text, group
from vesselforge.report.study import words
from vesselforge.report.study.study_reading import Study

MOST_PICTURES = 24
"""Pairs of a suspicious sample and its nearest training image; some 60 kB each."""
_SHEET_PX, _PAIR_PX = 2400, 640
"""Wider sheets of samples are shown smaller; ours are 1578 px at most."""
NOTE = (
    "Means over the seeds, with their range in brackets. In range: images with vessel maps like "
    "real ones. KID ± its standard deviation over resamplings; floor: the same of real images "
    "against other real ones. What KID says: “cannot tell” the images from real ones where that "
    "error is as large as the distance from the floor, “a hint” up to two standard deviations of "
    "both together, “can be told” beyond."
)


def source_table(results: Results) -> Table:
    """Every source with every number of real images: how many images, vessels, KID."""
    rows = [_source_row(source) for source in by_source(results.synthetic)]
    return Table.of("What each source gave.", rows, note=NOTE)


def _source_row(source: SourceOfSize) -> dict[str, str]:
    """Seeds whose images were not made count for nothing but their number."""
    made, realism = [one for one in source.seeds if one.drawn], source.realism
    kid = with_error([r.kid for r in realism], [r.kid_std for r in realism])
    floors = [r.kid_floor for r in realism if r.kid_floor is not None]
    floor = with_error([mean(floors)] if floors else [], [r.kid_floor_std for r in realism])
    return {
        "Source": source.name,
        "Real": f"{source.real_images:,}",
        "Seeds": f"{len(made)} of {len(source.seeds)}" if made != source.seeds else str(len(made)),
        "Show vessels": _vessels(source),
        "KID": kid or _no_kid(source.seeds),
        "KID says": source.kid or (_no_kid(source.seeds) if kid else ABSENT),
        "Floor": floor or ABSENT,
        "Drawn": mean_and_range([one.drawn for one in made], tenths),
        "Kept": mean_and_range([one.kept for one in made], tenths),
        "In range": mean_and_range([n for one in made if (n := one.in_range) is not None], tenths),
    }


def _vessels(source: SourceOfSize) -> str:
    if any(one.photographs for one in source.seeds):
        return "real images"
    return source.evidence.in_short if source.evidence else "not compared"


def _no_kid(seeds: Iterable[SyntheticImages]) -> str:
    """Why no seed has one, or none that says anything."""
    return "; ".join(dict.fromkeys(one.kid_verdict for one in seeds if one.kid_verdict)) or ABSENT


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


def filter_table(results: Results) -> Table:
    """Samples drawn, kept, and rejected by reason, a row a source and seed."""
    reasons = list(dict.fromkeys(r for one in results.synthetic for r in one.reasons))
    rows = [
        {
            "Samples of": one.origin,
            "Drawn": counted(one.drawn),
            "Kept": counted(one.kept),
            "Kept, %": f"{100 * one.kept / one.drawn:.1f}" if one.drawn else ABSENT,
            **{spoken(reason): counted(one.reasons.get(reason, 0)) for reason in reasons},
        }
        for one in results.synthetic
    ]
    caption = "Labels, and why samples were rejected."
    return Table.of(caption, rows, note=words.LABELS, sortable=True)


def realism_table(results: Results) -> Table:
    """Realism and memorisation; arms with the same images share a row."""
    groups: dict[tuple[int, int, Realism], list[str]] = {}
    for arm in results.arms:
        if arm.realism is not None:
            groups.setdefault((arm.real_images, arm.count, arm.realism), []).append(arm.label)
    rows = [
        {
            "Arms": ", ".join(labels),
            "Synthetic": counted(count),
            "Real": counted(real),
            "KID": with_error([found.kid], [found.kid_std]) or ABSENT,
            "KID floor": with_error([found.kid_floor], [found.kid_floor_std]) or ABSENT,
            "FID": significant(found.fid),
            "Distance": significant(found.distance),
            "Suspicious": _percent(found.copies),
            "Expected": _percent(found.expected),
            "C_T": significant(found.c_t),
        }
        for (real, count, found), labels in groups.items()
    ]
    caption = "Synthetic against real images."
    return Table.of(caption, rows, note=words.COPIES, sortable=True)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.3g} %"


def mean_and_range(values: Sequence[float], text: Callable[[float], str]) -> str:
    """`41.5 (38 to 45)`; one number where all are equal."""
    if not values:
        return ABSENT
    low, high = min(values), max(values)
    return text(low) if low == high else f"{text(mean(values))} ({text(low)} to {text(high)})"


def with_error(values: Iterable[float | None], errors: Iterable[float | None]) -> str:
    """`0.052 ± 0.004 (0.048 to 0.057)`: mean, mean error, range; empty without values."""
    known, found = ([v for v in given if v is not None] for given in (values, errors))
    if not known:
        return ""
    whole, _, ends = mean_and_range(known, two).partition(" ")
    return f"{whole}{f' ± {two(mean(found))}' if found else ''} {ends}".rstrip()


def two(value: float) -> str:
    """With as many digits as an error leaves."""
    return significant(value, 2)


def tenths(value: float) -> str:
    """A mean of counts."""
    return f"{value:,.1f}".removesuffix(".0")


def copy_blocks(study: Study) -> list[Block]:
    """Suspicious samples beside their nearest training images, nearest first."""
    results = study.results
    if not results.copies:
        counted_ = any(a.realism and a.realism.copies is not None for a in results.arms)
        none = "No sample was listed as suspiciously near to a training image."
        unknown = "How many samples are suspiciously near to a training image was not measured."
        return [Text(none if counted_ else unknown)]
    nearest = sorted(results.copies, key=lambda c: (c.distance, c.source, c.sample))
    pictured = [copy for copy in nearest if copy.picture][:MOST_PICTURES]
    left = len(nearest) - len(pictured)
    more = f"{left:,} further pairs are in results.json, beside this page." if left else ""
    pairs = Figures([_pair(study, copy) for copy in pictured], "pairs")
    title = "Samples that are suspiciously near to a training image"
    return group(title, Text(words.LEAK, "quiet"), pairs, Text(more, "quiet"))


def _pair(study: Study, copy: Copy) -> Figure | None:
    alt = f"Sample {copy.sample} beside training image {copy.image}"
    outcome = f"rejected: {spoken(copy.rejected)}" if copy.rejected else "kept"
    caption = f"{copy.sample} ({copy.source}) and {copy.image}: distance "
    caption += f"{fixed(copy.distance, 3)}; {outcome}."
    return study.picture(f"pictures/{copy.picture}", alt, caption, _PAIR_PX)
