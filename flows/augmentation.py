"""The augmentation pipeline as a table of contents. What runs a step is the caller's business."""

from __future__ import annotations

from configs.errors import DataError
from configs.segmenter import EnsembleMethod
from data.store import Artifact
from flows.runs import RunRecord
from flows.steps import Steps


def augment(steps: Steps, record: RunRecord) -> Artifact:
    """Teacher, synthetic images, students, ensembles, and their scores on the test split.

    Returns the evaluation. Every artifact is noted in the record under its role.
    """
    methods = ensemble_names(steps.config.ensembles)
    development = record.artifact("development", steps.development())
    test = record.artifact("test", steps.test())  # damaged files show before hours of training
    teacher = record.artifact("teacher", steps.teacher(development))
    students = improve(steps, record, development, teacher)
    members = {"teacher": teacher} | named(students)
    ensembles = {
        name: record.artifact(name, steps.ensemble(members, development, method, name))
        for name, method in methods.items()
    }
    scores = steps.evaluate(test, development, members | ensembles)
    return record.artifact("evaluation", scores)


def improve(
    steps: Steps, record: RunRecord, development: Artifact, teacher: Artifact
) -> list[Artifact]:
    """The students worth keeping: rounds in which the last student teaches the next one.

    The first student is always kept; the loop ends with the first that is no better on the
    validation images than the best before it.
    """
    settings = steps.config.iterate
    students: list[Artifact] = []
    best, generator = 0.0, None
    for round_ in range(settings.rounds):
        if generator is None or settings.generator_kimg > 0:
            generator = steps.generator(development, round_, start=generator)
        made = one_round(steps, round_, development, generator, teacher)
        student = made["student"]
        f1 = validation_f1(student)
        kept = not students or f1 > best + settings.min_gain
        record.round(made, kept=kept, validation_f1=f1)
        if not kept:
            break
        students.append(student)
        best, teacher = f1, student
    return students


def one_round(
    steps: Steps, round_: int, development: Artifact, generator: Artifact, teacher: Artifact
) -> dict[str, Artifact]:
    """One student from one generator and one teacher; role → artifact."""
    samples = steps.sample(generator, round_)
    score = steps.score(samples, development, generator, teacher, round_)
    labelled = steps.pseudo_label(samples, teacher, development, score, round_)
    check_kept(labelled)
    pretrained = steps.pretrain(labelled, development, round_)
    student = steps.finetune(pretrained, development, round_)
    return {
        "generator": generator,
        "samples": samples,
        "score": score,
        "labelled": labelled,
        "pretrained": pretrained,
        "student": student,
    }


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


def named(students: list[Artifact]) -> dict[str, Artifact]:
    """`student`, or `student-1`, `student-2`, … when there are several."""
    if len(students) == 1:
        return {"student": students[0]}
    return {f"student-{number}": student for number, student in enumerate(students, start=1)}


def ensemble_names(methods: list[EnsembleMethod]) -> dict[str, EnsembleMethod]:
    """Name → method: `ensemble`, the run's model, then `ensemble-<method>`."""
    return {f"ensemble-{method}" if i else "ensemble": method for i, method in enumerate(methods)}
