"""Sentences of a study's page: its headline, what an interval means, what nobody may conclude."""

from __future__ import annotations

from vesselforge.pipeline.statistics.answer import plural
from vesselforge.pipeline.study.schema import Arm, Place, Results
from vesselforge.pipeline.study.study_sources import source_warnings
from vesselforge.report.study import arm_names as on

MOST_MESSAGES = 12
_RESEEDED = {
    "students": "Seeds change the students' training alone. All arms learn from one teacher and "
    "one generator: how much another GAN training would change the result is not known.",
    "samples": "Seeds change the students' training and which samples are drawn. All arms share "
    "one teacher and one generator: how much another GAN training would change the result is not "
    "known.",
    "all": "Seeds change everything: the choice of real images, teacher, generator, samples and "
    "students.",
}
DOSE = (
    "Each arm minus the real-only arm on the same image with the same seed. Dots stand slightly "
    "apart to stay readable; the counts are equally spaced."
)
LEARNING = "Of each family of arms, those with the most synthetic images; levels, not differences."
SOURCES = (
    "All seeds together, of a cross-validation all folds, too. A sample rejected for several "
    "reasons counts for the first. In range: images with vessel maps like real ones. KID ± its "
    "standard deviation over resamplings, of the images that students saw, a mean over these; "
    "floor: the same of real images against other real ones. “Cannot tell” the images from real "
    "ones where that error is as large as the distance from the floor, “a hint” up to two standard "
    "deviations of both together, “can be told” beyond."
)
COPIES = (
    "Distance: median distance of the samples to their nearest training image, in units of the "
    "held-out images' median; 1 is what new images would have. Suspicious: the fraction of samples "
    "that are conspicuously near to a training image; expected: what new images would have. C_T "
    "(Meehan and others, 2020): far below 0 where samples are nearer to the training images than "
    "held-out images are."
)
LEAK = (
    "A vessel tree identifies a person. A sample that repeats one is a leak, whatever its colours; "
    "look at the pairs before you share samples."
)


def headline(results: Results) -> str:
    """The answer in one line, of the comparisons that decide."""
    found = [
        effect.verdict
        for arm in results.arms
        for effect in arm.effects
        if on.is_primary(arm, effect, results)
    ]
    tested = [verdict for verdict in found if verdict != "untested"]
    if not tested:
        return "No verdict" if found else "Nothing was compared"
    comparisons = plural(len(tested), "comparison")
    told = [f"{word} in {tested.count(word)}" for word in ("gain", "harm") if word in tested]
    if not told:
        return f"No gain shown in {comparisons}"
    return f"{' and '.join(told).capitalize()} of {comparisons}"


def intervals(results: Results) -> str:
    """What the intervals are and how far they can be trusted, once for the page."""
    whole = f"Intervals hold {on.percent(results)} of resamples"
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


def out_of_fold(results: Results) -> list[str]:
    """How a cross-validation came to its scores; nothing of another study."""
    if not results.folds:
        return []
    low, high = min(results.folds), max(results.folds)
    sizes = f"{low}" if low == high else f"{low} to {high}"
    found = [
        f"Scores are out of fold: in each of {len(results.folds)} folds, of {sizes} training "
        "images, everything was done as if there were no other. Of every arm and seed an image "
        "counts once, by the model of the fold that tested it, and so does its partner's. Models "
        "of different folds share most of their training images, so scores vary less than those "
        "of as many independent trainings would; that is not in the intervals."
    ]
    if len({place.set for place in results.places}) > 1:
        found.append(
            "An image of a further dataset counts by the mean of its scores by the models of all "
            "folds."
        )
    return found


def caveats(results: Results) -> list[str]:
    """What limits the headline."""
    found = out_of_fold(results)
    if len(results.seeds) == 1:
        found.append(
            "Only one seed: how much training runs differ by chance is unknown, so no difference "
            "here can be told from that of two runs of the same arm."
        )
    found.append(("Within each fold: " if results.folds else "") + _RESEEDED[results.reseed])
    longer = _names([arm for arm in results.arms if arm.longer != 1])
    found.append(
        f"Every arm {f'but {longer} ' if longer else ''}trains for the same {results.steps:,} "
        "optimiser steps with the same settings; only the images differ. What is said holds for "
        "these arms and these sources, and not for synthetic images in general."
    )
    arms = on.compared(results)
    taught = [arm for arm in arms if arm.labels in ("", "teacher")]
    if taught:
        which = "" if len(taught) == len(arms) else f" of {_names(taught)}"
        found.append(
            f"Labels of the synthetic images{which} are what the teacher saw in them: a student "
            "cannot learn from them a vessel that the teacher misses."
        )
    apart = source_warnings(results.synthetic)  # these stand in a box of their own
    return found + [note for note in results.notes if note not in apart]


def _names(arms: list[Arm]) -> str:
    return ", ".join(dict.fromkeys(arm.short for arm in arms))


def decision(results: Results) -> str:
    """How an arm is called a gain or a harm, and how to read a forest plot."""
    if len(results.seeds) < 2:
        return (
            "Nothing is tested with a single seed: a training run shifts all test images "
            "together, and with one run of each arm that shift looks like an effect of its images. "
            "The differences are shown as they were measured, and called untested."
        )
    family = f"{plural(len(on.compared(results)), 'arm')} on a place (test images, one observer)"
    if results.declared:
        deciding = [arm for arm in results.arms if arm.id in results.primary_arms]
        where = "; ".join(endpoint.name for endpoint in results.endpoints)
        family = (
            f"the primary arms ({_names(deciding)}) on all endpoints ({where}) together, the "
            "others place by place"
        )
    return (
        "An arm is called a gain or a harm (filled dot) when both of two tests find it: Wilcoxon's "
        "signed-rank test over images, and a test for which seeds are a sample too; of their "
        f"p-values the larger counts, corrected by Holm's method over {family}, is at most "
        f"{100 * results.alpha:g} %; its interval must exclude zero as well. “A − B”: against "
        "another arm, corrected by themselves. Small dots: each seed. “None shown” means that no "
        "difference was found, not that there is none: those in the grey band would be missed in "
        f"more than {100 * (1 - results.power):.3g} % of such studies."
    )


def failures(results: Results) -> tuple[str, list[str]]:
    """A title and the failed trainings for the top of the page, a bounded number of them."""
    groups: dict[tuple[str, str], list[int]] = {}
    for arm in results.arms:
        for run in arm.runs:
            if run.status == "failed":
                key = on.label(arm, results), run.message or "no message"
                groups.setdefault(key, []).append(run.seed)
    lines = [
        f"{name}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}: {message}"
        for (name, message), seeds in groups.items()
    ]
    if len(lines) > MOST_MESSAGES:
        left_out = f"and {len(lines) - MOST_MESSAGES:,} more, in results.json beside this page"
        lines = [*lines[:MOST_MESSAGES], left_out]
    runs = sum(len(arm.runs) for arm in results.arms)
    return f"{sum(map(len, groups.values())):,} of {plural(runs, 'training')} gave no result", lines


def detectable(results: Results, place: Place) -> tuple[float, float] | None:
    """Smallest and largest of the arms' smallest detectable effects; at an endpoint, of those that
    decide."""
    there = [(arm, e) for arm in on.compared(results) if (e := on.effect_at(arm, place))]
    deciding = [e for arm, e in there if on.is_primary(arm, e, results)]
    effects = deciding or [e for _, e in there]
    values = [effect.detectable for effect in effects if effect.detectable is not None]
    return (min(values), max(values)) if values else None
