"""What a run's page says first: a headline in one line, the statistics behind it, its limits."""

from __future__ import annotations

from typing import NamedTuple

from vesselforge.pipeline.models.score_rows import NOT_BETTER, constant_f1
from vesselforge.pipeline.record import PARTLY_FAILED
from vesselforge.report.formatting import fixed, number, plural, signed
from vesselforge.report.run.quality import evidence_of
from vesselforge.report.run.run_reading import Run
from vesselforge.report.run.scored import Paired, Scores, paired

CAVEAT = (
    "One run with one seed is no evidence for or against synthetic data, and a student of two "
    "phases trains longer than its teacher: “vesselforge compare” repeats it over seeds and "
    "ratios, with equal steps and paired tests."
)
FEWEST = 6
"""Test images below which not even a gain on every one is significant (sign test, 5 %)."""


class Headline(NamedTuple):
    """The headline in one line, the numbers behind it, and what limits them."""

    line: str
    lead: str
    caveats: list[str]


def headline(run: Run, scores: Scores | None) -> Headline:
    """What the numbers say; before it, what makes them worthless."""
    answer, evidence = _headline(run, scores), evidence_of(run)
    if evidence is None or not evidence.verdict:
        return answer
    return answer._replace(line=f"{evidence.verdict}. {answer.line}")


def _headline(run: Run, scores: Scores | None) -> Headline:
    status, message = run.record["status"], run.record.get("message")
    if scores is None:
        return Headline("No test scores", f"This run is {status}. Below is what exists.", [])
    if scores.reference is None:
        note = str(scores.view.metrics.get("note") or "")
        return Headline("Not scored: the test images have no manual labels", note, [])
    answer = _compared(scores)
    if status != PARTLY_FAILED:
        return answer
    line = answer.line if scores.student else "No student: every synthetic image was rejected"
    return Headline(line, answer.lead, [f"Partly failed: {message}", *answer.caveats])


def _compared(scores: Scores) -> Headline:
    where = f"inside the field of view of {plural(scores.images, 'test image')}"
    f1 = {name: number(scores.pooled(name).get("f1")) for name in scores.models}
    base, other = f1.get(scores.teacher or ""), f1.get(scores.student or "")
    if base is None or other is None:
        each = ", ".join(f"{scores.title(name)} {fixed(value)}" for name, value in f1.items())
        lead = f"Pooled F1 {where}: {each or 'no model was scored'}."
        return Headline("No comparison", lead, [*_no_better(scores), CAVEAT])
    pair = paired(scores)
    gain = round(other, 4) - round(base, 4)
    lead = (
        f"Pooled F1 {where}: {scores.student} {fixed(other)}, {scores.teacher} {fixed(base)}, "
        f"a difference of {signed(gain)}."
    )
    if pair is not None:
        lead += (
            f" Image by image the student differs by {signed(pair.mean)} on average "
            f"(95 % interval {signed(pair.low)} to {signed(pair.high)})."
        )
    caveats = [*_no_better(scores), CAVEAT, *_limits(pair)]
    return Headline(_verdict(gain, pair), lead, caveats)


def _no_better(scores: Scores) -> list[str]:
    """One line on the models whose scores a constant answer has, too."""
    names = scores.not_better
    if not names:
        return []
    level = constant_f1(scores.pooled(names[0]))
    known = f", which has an F1 of {fixed(level)}" if level is not None else ""
    return [f"{', '.join(map(scores.title, names))}: {NOT_BETTER} as vessel{known}."]


def _verdict(gain: float, pair: Paired | None) -> str:
    if gain <= 0:
        return "No gain shown"
    if pair is not None and len(pair.values) < FEWEST:
        return "Too few test images to show a gain"
    if pair is None or pair.low <= 0:
        return "No gain shown beyond chance"
    return "The student scored higher in this one run"


def _limits(pair: Paired | None) -> list[str]:
    if pair is None or pair.detectable <= 0:
        return []
    return [
        f"With {plural(len(pair.values), 'image')} that differ this much, true differences below "
        f"about {pair.detectable:.4f} are likely to go unseen (80 % power)."
    ]
