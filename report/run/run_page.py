"""The page of a run: a headline, the statistics behind it and what limits them; then sections."""

from __future__ import annotations

from typing import Any

import numpy as np

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.documents import texts
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.choice import START, TUNED
from vesselforge.pipeline.models.score_rows import NOT_BETTER, constant_f1
from vesselforge.pipeline.record import PARTLY_FAILED, WARNED
from vesselforge.pipeline.run.remarks import by_fold
from vesselforge.pipeline.statistics.answer import plural, signed
from vesselforge.report.formatting import fixed, number
from vesselforge.report.page import Note, Page, Tile
from vesselforge.report.record_sections import WARNINGS, record_sections
from vesselforge.report.run.quality import evidence_of, warnings_of
from vesselforge.report.run.run_reading import Run, Scores, open_run, read_scores
from vesselforge.report.run.scores_section import score_sections
from vesselforge.report.run.synthetic_sections import synthetic_sections
from vesselforge.report.run.training_sections import dataset_section, training_section

CAVEAT = (
    "One run with one seed is no evidence for or against synthetic data, and a student of two "
    "phases trains longer than its teacher: “vesselforge compare” repeats it over seeds and "
    "ratios, with equal steps and paired tests."
)
ALONE = (
    "No model trained here has seen the images that it is scored on. The final model, which "
    "“predict” uses, is trained in the same way on all images but those of the validation, so that "
    "no image is left to score it on: expect of it what this page shows, or a little more."
)
FOLDS = (
    "The models of a cross-validation share most of their training images, so its scores vary less "
    "than those of as many independent trainings would; intervals are over images alone."
)
SPOKEN = {START: "model as it came", TUNED: "fine-tuned model"}
FEWEST = 6
"""Test images below which not even a gain on every one is significant (sign test, 5 %)."""
RESAMPLES = 2000
Headline = tuple[str, str, list[str]]
"""In one line; the numbers behind it; and what limits them."""


def run_page(record: dict[str, Any], store: Store) -> Page:
    """Scores and pictures first, settings last."""
    run = open_run(record, store)
    scores = read_scores(run)
    line, lead, caveats = headline(run, scores)
    shown = next(iter(run.folds.values()), run)
    sections = [
        *score_sections(run, scores),
        *([] if run.real_alone else synthetic_sections(shown)),
        training_section(run),
        dataset_section(run),
        *record_sections(record, PipelineConfig),
    ]
    folds = {name.removeprefix("fold-"): warnings_of(fold) for name, fold in run.folds.items()}
    said = [f"{line[0].upper()}{line[1:]}" for line in by_fold(folds)] or warnings_of(run)
    said += [s for s in [run.record.get("seen_before")] if s]
    notes = [
        Note(WARNINGS, texts(record.get(WARNED))),
        Note("Read no score of these images without this", said),
    ]
    tiles = score_tiles(scores) if scores and scores.reference else []
    labels = [fold.synthetic("labelled") for fold in run.folds.values() or [run]]
    if known := [view.metrics for view in labels if view]:
        kept, rejected = (sum(each[key] for each in known) for key in ("kept", "rejected"))
        tiles.append(("Synthetic images kept", f"{kept:,}", f"of {kept + rejected:,} labelled"))
    return Page("run", record, line, lead, tiles, caveats, sections, run.problems, notes)


def score_tiles(scores: Scores) -> list[Tile]:
    """F1 of every model."""
    found = []
    for name in scores.models:
        mean = scores.mean(name).get("f1")
        notes = [f"image mean {fixed(mean[0])}"] if mean else []
        notes += [NOT_BETTER] if name in scores.not_better else []
        value = fixed(scores.pooled(name).get("f1"))
        found.append((f"F1, {scores.title(name)}", value, "; ".join(notes)))
    return found


def headline(run: Run, scores: Scores | None) -> Headline:
    """What the numbers say; before it, what makes them worthless."""
    status, message = run.record["status"], run.record.get("message")
    caveats: list[str] = []
    if scores is None:
        line, lead = "No test scores", f"This run is {status}. Below is what exists."
    elif scores.reference is None:
        line = "Not scored: the test images have no manual labels"
        lead = str(scores.view.metrics.get("note") or "")
    else:
        line, lead, caveats = _compared(scores)
        if status == PARTLY_FAILED:
            line = line if scores.student else "No student: every synthetic image was rejected"
            caveats = [f"Partly failed: {message}", *caveats]
    evidence = [evidence_of(fold) for fold in run.folds.values() or [run]]
    verdicts = dict.fromkeys(each.verdict for each in evidence if each and each.verdict)
    line = ". ".join([*verdicts, line])
    return line, lead, caveats


def _compared(scores: Scores) -> Headline:
    """The student beside its teacher, of real images alone the fine-tuned model beside what it
    began with: pooled, and image by image with a bootstrap's interval."""
    caveats = [FOLDS] if scores.folds else []
    caveats += [ALONE] if scores.final else [] if scores.real_alone else [CAVEAT]
    if worthless := scores.not_better:  # whose scores a constant answer has, too
        level = constant_f1(scores.pooled(worthless[0]))
        known = f", which has an F1 of {fixed(level)}" if level is not None else ""
        names = ", ".join(map(scores.title, worthless))
        caveats.insert(0, f"{names}: {NOT_BETTER} as vessel{known}.")
    where = f"inside the field of view of {plural(scores.images, 'test image')}"
    if scores.folds:
        where += f", each scored once, by the models of the fold ({scores.folds}) that tested it"
    f1 = {name: number(scores.pooled(name).get("f1")) for name in scores.models}
    first, second = (START, TUNED) if scores.real_alone else ("teacher", scores.student or "")
    base, other = f1.get(first), f1.get(second)
    if base is None or other is None:
        each = ", ".join(f"{scores.title(name)} {fixed(value)}" for name, value in f1.items())
        lead = f"Pooled F1 {where}: {each or 'no model was scored'}."
        return "No comparison", lead, caveats
    gain = round(other, 4) - round(base, 4)
    later, earlier = (SPOKEN.get(name, name) for name in (second, first))
    lead = (
        f"Pooled F1 {where}: {later} {fixed(other)}, {earlier} {fixed(base)}, a difference of "
        f"{signed(gain)}."
    )
    before, after = scores.f1_by_image(first), scores.f1_by_image(second)
    values = np.array([after[i] - before[i] for i in sorted(before.keys() & after.keys())])
    low, count = 0.0, len(values)
    if count > 1:
        picks = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
        low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
        lead += (
            f" Image by image the {later} differs by {signed(values.mean())} on average "
            f"(95 % interval {signed(low)} to {signed(high)})."
        )
        detectable = 2.80 * values.std(ddof=1) / np.sqrt(count)  # 1.96 + 0.84 standard errors
        if detectable > 0:
            caveats.append(
                f"With {plural(count, 'image')} that differ this much, true differences below "
                f"about {detectable:.4f} are likely to go unseen (80 % power)."
            )
    if gain <= 0:
        return "No gain shown", lead, caveats
    if count < FEWEST:
        return "Too few test images to show a gain", lead, caveats
    if low <= 0:
        return "No gain shown beyond chance", lead, caveats
    return f"The {later} scored higher in this one run", lead, caveats
