"""The augmentation pipeline as a table of contents. What does the work is the caller's business."""

from __future__ import annotations

from collections.abc import Mapping

from configs.errors import DataError
from data.store import Artifact
from flows.executor import Executor
from flows.runs import RunRecord
from pipeline.graph import Work
from pipeline.run import Round, RunWorks


def augment(works: RunWorks, executor: Executor, record: RunRecord) -> Artifact:
    """Teacher, synthetic images, students, ensembles, and their scores on the test split.

    Returns the evaluation. Every artifact is noted in the record under its role.
    """
    # Damaged files show before hours of training: the test images are made early, and seen late.
    first = {"development": works.development(), "test": works.test(), "teacher": works.teacher()}
    for role, work in first.items():
        record.artifact(role, executor.make(work))
    students = improve(works, executor, record)
    members = {"teacher": first["teacher"]} | named(students)
    ensembles = works.ensembles(members)
    for name, work in ensembles.items():
        record.artifact(name, executor.make(work))
    return record.artifact("evaluation", executor.make(works.scored(members | ensembles)))


def improve(works: RunWorks, executor: Executor, record: RunRecord) -> list[Work]:
    """The students worth keeping: rounds in which the last student teaches the next one.

    The first student is always kept; the loop ends with the first that is no better on the
    validation images than the best before it.
    """
    settings = works.config.iterate
    students: list[Work] = []
    best, teacher, generator = 0.0, works.teacher(), None
    for number in range(settings.rounds):
        planned = works.round(number, teacher, generator)
        made = one_round(planned, executor)
        f1 = validation_f1(made["student"])
        kept = not students or f1 > best + settings.min_gain
        record.round(made, kept=kept, validation_f1=f1)
        if not kept:
            break
        students.append(planned.student)
        best, teacher, generator = f1, planned.student, planned.generator
    return students


def one_round(planned: Round, executor: Executor) -> Mapping[str, Artifact]:
    """Role → artifact. The scores come first: they tell of bad samples before they are used."""
    executor.make(planned.score)
    check_kept(executor.make(planned.labelled))
    return {role: executor.make(work) for role, work in planned.roles.items()}


def check_kept(labelled: Artifact) -> None:
    """Raise DataError when every synthetic image was rejected: nothing is left to train on."""
    found = labelled.metrics
    if found["kept"]:
        return
    reasons = found["reasons"]
    mostly = f" (mostly: {max(reasons, key=reasons.get)})" if reasons else ""
    raise DataError(
        f"pseudo_label: all {found['rejected']} synthetic images were rejected{mostly}, see "
        f"{labelled.path / 'labels.csv'}; train the generator longer, or loosen the filters "
        "(min_confidence, min_vessel_share, max_vessel_share, …)"
    )


def validation_f1(model: Artifact) -> float:
    """Pooled F1 inside the field of view on the validation images."""
    return float(model.metrics["validation"]["f1"])


def named(students: list[Work]) -> dict[str, Work]:
    """`student`, or `student-1`, `student-2`, … when there are several."""
    if len(students) == 1:
        return {"student": students[0]}
    return {f"student-{number}": student for number, student in enumerate(students, start=1)}
