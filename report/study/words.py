"""Sentences of the page: what is resampled, what an interval means, what nobody may conclude."""

from __future__ import annotations

from vesselforge.pipeline.score_rows import REGIONS
from vesselforge.pipeline.statistics.answer import SETS
from vesselforge.pipeline.study.schema import Arm, Place, Results
from vesselforge.pipeline.study.study_sources import source_warnings
from vesselforge.report.study.arm_names import (
    compared,
    done,
    effect_at,
    failures,
    is_primary,
    label,
    metric_name,
    percent,
    place_name,
    places,
    short,
)
from vesselforge.report.tables import fixed, number, plural

_MOST_MESSAGES = 12
_RESEEDED = {
    "students": "Seeds change the students' training alone. All arms learn from one teacher and "
    "one generator: how much another GAN training would change the result is not known.",
    "samples": "Seeds change the students' training and which samples are drawn. All arms share "
    "one teacher and one generator: how much another GAN training would change the result is not "
    "known.",
    "all": "Seeds change everything: the choice of real images, teacher, generator, samples and "
    "students.",
}


def interval_sentence(results: Results) -> str:
    """What the whiskers are, for a caption."""
    if len(results.seeds) < 2:
        return f"{percent(results)} interval, images resampled; one training run alone."
    return f"{percent(results)} interval, seeds and images resampled."


def paired_sentence(results: Results) -> str:
    """The same for paired differences, of which one training run gives no interval."""
    if len(results.seeds) < 2:
        return "no interval can be given for one training run."
    return interval_sentence(results)


def intervals_explained(results: Results) -> str:
    """What the whiskers are and how far they can be trusted, once for the page."""
    whole = f"Intervals hold {percent(results)} of resamples"
    if len(results.seeds) < 2:
        return (
            f"{whole} of the images of a single training run. How much training runs differ by "
            "chance is not in them, so they are too narrow, and differences have none. Thresholds "
            "come from validation images."
        )
    return (
        f"{whole}: a two-level bootstrap draws seeds and images anew, widened for their small "
        "number; how much a difference varies from run to run is estimated from all arms of one "
        f"real-only arm. With {len(results.seeds)} seeds coverage is approximate. Thresholds come "
        "from validation images."
    )


def region(results: Results) -> str:
    """Which pixels count."""
    return REGIONS.get(results.region, results.region)


def caveats(results: Results) -> list[str]:
    """What limits the headline."""
    found = []
    if len(results.seeds) == 1:
        found.append(
            "Only one seed: how much training runs differ by chance is unknown, so no difference "
            "here can be told from that of two runs of the same arm."
        )
    found.append(_RESEEDED.get(results.reseed, f"Seeds change: {results.reseed}."))
    longer = _names([arm for arm in results.arms if arm.longer != 1])
    found.append(
        f"Every arm {f'but {longer} ' if longer else ''}trains for the same {results.steps:,} "
        "optimiser steps with the same settings; only the images differ. What is said holds for "
        "these arms and these sources, and not for synthetic images in general."
    )
    taught = [arm for arm in compared(results) if arm.labels in ("", "teacher")]
    if taught:
        which = "" if len(taught) == len(compared(results)) else f" of {_names(taught)}"
        found.append(
            f"Labels of the synthetic images{which} are what the teacher saw in them: a student "
            "cannot learn from them a vessel that the teacher misses."
        )
    apart = source_warnings(results.synthetic)  # these stand in a box of their own
    return found + [note for note in results.notes if note not in apart]


def _names(arms: list[Arm]) -> str:
    return ", ".join(dict.fromkeys(map(short, arms)))


def decision(results: Results) -> str:
    """How an arm is called a gain or a harm."""
    if len(results.seeds) < 2:
        return (
            "Nothing is tested with a single seed: a training run shifts all test images "
            "together, and with one run of each arm that shift looks like an effect of its images. "
            "The differences are shown as they were measured, and called untested."
        )
    arms = plural(len(compared(results)), "arm")
    family = f"{arms} by Holm's method, so that the chance of any false alarm on a place (a set of "
    family += "test images, by one observer)"
    if results.declared:
        family = f"all comparisons of its family by Holm's method: {_families(results)}, so that "
        family += "the chance of any false alarm in a family"
    return (
        f"An arm is called a gain or a harm when both of two tests find it: Wilcoxon's signed-rank "
        f"test over images, and a test for which seeds are a sample too; of their p-values the "
        f"larger counts, corrected for {family} is at most "
        f"{100 * results.alpha:g} %; its interval must exclude zero as well. “None shown” means "
        "that no difference was found, not that there is none: one below the smallest detectable "
        "difference is easily missed."
    )


def _families(results: Results) -> str:
    """What decides, and what is corrected how."""
    deciding = [arm for arm in results.arms if arm.id in results.primary_arms]
    where = "; ".join(
        e.name if len(e.sets) == 1 else f"{e.name}: {' + '.join(SETS.get(s, s) for s in e.sets)}"
        for e in results.endpoints
    )
    sizes = {arm.real_images for arm in deciding}
    size = f" with {next(iter(sizes)):,} real images" if len(sizes) == 1 else ""
    return (
        f"those of the primary arms ({_names(deciding)}{size}) on all endpoints ({where}) "
        "together, the others place by place, and those with another arm by themselves"
    )


def short_note(results: Results) -> str:
    """Arms that failed because too few of their synthetic images passed the filters."""
    lacking = {
        label(arm, results): [str(run.seed) for run in arm.runs if run.short]
        for arm in results.arms
    }
    told = [f"{name} (seeds {', '.join(s)})" for name, s in lacking.items() if s]
    if not told:
        return ""
    return (
        f"Too few synthetic images were kept for {'; '.join(told)}. Filters are not loosened to "
        "get an arm through: such a run counts as failed."
    )


def dose_caption(results: Results) -> str:
    return (
        f"Mean {metric_name(results)}; dots stand slightly apart to stay readable. Whiskers and "
        f"band: {interval_sentence(results)} They are wide because images differ; all arms share "
        "those, so whether an arm differs is read from the paired differences."
    )


def difference_caption(results: Results) -> str:
    return (
        "Paired: each arm minus the real-only arm on the same image with the same seed. "
        f"Whiskers: {paired_sentence(results)} The counts are equally spaced."
    )


def forest_caption(results: Results, other: str) -> str:
    """other: what arms are compared with."""
    if len(results.seeds) < 2:
        return f"Paired difference to {other}, untested; {paired_sentence(results)}"
    return (
        f"Paired difference to {other}: mean (large dot; filled where significant after "
        "Holm's correction), each seed (small dots). "
        f"Line: {interval_sentence(results)} Grey: differences too small to be found with "
        f"{100 * results.power:g} % probability."
    )


def learning_caption(results: Results, picked: bool) -> str:
    who = (
        "Of each family of arms, the number of synthetic images with the best mean F1 on the "
        "validation images is shown; the test images had no say. "
        if picked
        else "No arm has a validation score to be picked by, so the real-only arm stands alone. "
    )
    return (
        f"Mean {metric_name(results)} against the number of real training images. {who}"
        f"Whiskers: {interval_sentence(results)}"
    )


def realism_caption(results: Results, what: str) -> str:
    return (
        "Each dot is an arm, with its name or number of synthetic images: paired difference "
        f"against {what} Whiskers: {paired_sentence(results)} Arms of one generator share its "
        "realism, up to which of its samples were taken, so a trend across dots is not one across "
        "generators."
    )


def failure_lines(results: Results) -> list[str]:
    """The failed trainings for the top of the page, a bounded number of them."""
    groups: dict[tuple[str, str], list[int]] = {}
    for arm, seed, message in failures(results):
        groups.setdefault((label(arm, results), message or "no message"), []).append(seed)
    lines = [
        f"{name}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}: {message}"
        for (name, message), seeds in groups.items()
    ]
    if len(lines) > _MOST_MESSAGES:
        left_out = f"and {len(lines) - _MOST_MESSAGES:,} more, in the table of trainings below"
        lines = [*lines[:_MOST_MESSAGES], left_out]
    whole = [label(arm, results) for arm in results.arms if arm.runs and not done(arm)]
    if whole:
        shown = ", ".join(whole[:_MOST_MESSAGES]) + (", …" if len(whole) > _MOST_MESSAGES else "")
        lines.append(f"without any result: {shown}")
    return lines


def failure_title(results: Results) -> str:
    whole = sum(len(arm.runs) for arm in results.arms)
    lost = len(failures(results))
    return f"{lost:,} of {plural(whole, 'training')} gave no result"


def detectable(results: Results, place: Place) -> tuple[float, float] | None:
    """Smallest and largest of the arms' smallest detectable effects; at an endpoint, of those that
    decide."""
    pairs = [(arm, effect_at(arm, place)) for arm in compared(results)]
    deciding = [e for arm, e in pairs if e is not None and is_primary(arm, e, results)]
    effects = deciding or [e for _, e in pairs if e is not None]
    found = [number(effect.detectable) for effect in effects]
    values = sorted(value for value in found if value is not None)
    return (values[0], values[-1]) if values else None


def detectable_sentence(results: Results) -> str:
    """How small a difference could have been found, place by place."""
    parts = []
    for place in places(results):
        found = detectable(results, place)
        if found is not None:
            low, high = map(fixed, found)
            parts.append(f"{place_name(place)}: {low if low == high else f'{low} to {high}'}")
    if not parts:
        return "How small a difference could have been found is not known: too few seeds or images."
    return (
        f"Smallest difference in {metric_name(results)} that a study like this finds with "
        f"{100 * results.power:g} % probability, by arm ({'; '.join(parts)})."
    )
