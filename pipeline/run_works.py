"""A run: its work (teacher, rounds of synthetic images and students, ensembles, scores), and the
order in which it is asked for. What does the work is the caller's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import current
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.sources import Request, source_of
from vesselforge.pipeline.works import PHASES, Shows, Supply, Works, contents_of, phases_of

LAST_STEPS = ("development", "teacher", "generator", "samples", "scores", "pseudo-labels")
"""What the single steps of the command line end with."""
LEAST_GAIN = 0.001
"""Validation F1 by which a student has to be better to teach another round."""
SHOWN: dict[Shows, str] = {
    "synthetic": ", synthetic images",
    "real": ", real images",
    "mixed": ", real and synthetic images",
}


@dataclass(frozen=True)
class Round:
    """One student from one teacher, as work. generator: None where nothing is trained."""

    generator: Work | None
    samples: Work
    score: Work
    labelled: Work
    phases: list[Work]

    @property
    def student(self) -> Work:
        return self.phases[-1]

    @property
    def roles(self) -> dict[str, Work]:
        """Role in the run's record → work."""
        found = {"samples": self.samples, "score": self.score, "labelled": self.labelled}
        if self.generator is not None:
            found = {"generator": self.generator, **found}
        if len(self.phases) > 1:
            found["pretrained"] = self.phases[0]
        return found | {"student": self.student}


@dataclass(frozen=True)
class RunWorks(Works):
    """The work of a run."""

    config: PipelineConfig

    def teacher(self) -> Work:
        return self.on_real("teacher", self.config.teacher, self.development())

    def round(self, number: int, teacher: Work, start: Work | None = None) -> Round:
        """Round `number`, from 0. teacher: of this round; start: the generator of the one before,
        fine-tuned on where the settings say so."""
        config, name = self.config, numbered("", number)
        development = self.development()
        if start is None or config.iterate.generator_kimg == 0:
            request = Request(real=development, shown=development)
        else:
            request = Request(real=development, shown=development, name=name, start=start)
        supply = Supply(source_of(config.source, config), request, [teacher])
        count = config.sample.count
        samples = supply.samples(count, number * count, name)  # other images in every round
        score = supply.scores(f"sample scores{name}", samples)
        labelled = supply.labelled(f"{supply.title}{name}", samples, score)
        shows = PHASES[config.order]
        phases = phases_of(config, shows)
        steps = [f"student{SHOWN[each]}{name}" for each in shows]
        trainings = self.student(phases, steps, development, labelled)
        return Round(supply.generator(), samples, score, labelled, trainings)

    def ensembles(self, members: Mapping[str, Work]) -> dict[str, Work]:
        """`ensemble`, the run's model, then `ensemble-<method>` for the further methods."""
        names = {
            f"ensemble-{method}" if i else "ensemble": method
            for i, method in enumerate(self.config.ensembles)
        }
        return {
            name: self.ensemble(name, method, members, self.development())
            for name, method in names.items()
        }

    def scored(self, models: Mapping[str, Work]) -> Work:
        """Scores of every model on the test split."""
        return self.evaluation("test scores", models, self.test(), self.development())

    def until(self, last: str) -> Work:
        """The work of one of LAST_STEPS, of the first round."""
        if last == "development":
            return self.development()
        if last == "teacher":
            return self.teacher()
        made = self.round(0, self.teacher())
        if last == "generator":
            if made.generator is None:
                raise ConfigError(f"source {self.config.source.kind}: it has no generator to train")
            return made.generator
        return {"samples": made.samples, "scores": made.score, "pseudo-labels": made.labelled}[last]

    def everything(self) -> list[Work]:
        """All that a run of a single round does, in its order."""
        teacher = self.teacher()
        first = self.round(0, teacher)
        members = {"teacher": teacher, "student": first.student}
        ensembles = self.ensembles(members)
        named = [self.development(), self.test(), teacher, *first.roles.values()]
        return [*named, *ensembles.values(), self.scored(members | ensembles)]


def run_works(config: PipelineConfig) -> RunWorks:
    """The work of a run. Raises DataError for a dataset that is not there."""
    return RunWorks(config, contents_of(config.data))


def numbered(step: str, round_: int) -> str:
    """The step's name, with the number of the round from the second one on."""
    return f"{step}, round {round_ + 1}" if round_ else step


@dataclass
class Augmented:
    """What a run came to. students: those worth keeping. remarks: what a reader of their scores has
    to know of the synthetic images of the last one. failure: why there was no further one, where
    that is to be mended."""

    evaluation: Artifact = field(init=False)
    students: list[Work] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failure: str = ""


def augment(works: RunWorks, executor: Executor, record: RunRecord) -> Augmented:
    """Teacher, synthetic images, students, ensembles, and their scores on the test split.

    Every artifact is noted in the record under its role. Where all synthetic images were rejected,
    the models that there are are scored all the same; the teacher alone makes no ensemble.
    """
    # Damaged files show before hours of training: the test images are made early, and seen late.
    first = {"development": works.development(), "test": works.test(), "teacher": works.teacher()}
    for role, work in first.items():
        record.artifact(role, executor.make(work))
    found = improve(works, executor, record)
    members = {"teacher": first["teacher"]} | named(found.students)
    ensembles = works.ensembles(members) if found.students else {}
    for name, work in ensembles.items():
        record.artifact(name, executor.make(work))
    scores = executor.make(works.scored(members | ensembles))
    found.evaluation = record.artifact("evaluation", scores)
    return found


def improve(works: RunWorks, executor: Executor, record: RunRecord) -> Augmented:
    """Rounds in which the last student teaches the next one.

    The first student is always kept; the loop ends with the first that is no better on the
    validation images than the best before it, and where every synthetic image was rejected.
    """
    found = Augmented()
    best, teacher, generator = 0.0, works.teacher(), None
    for number in range(works.config.iterate.rounds):
        planned = works.round(number, teacher, generator)
        images = synthetic_images(planned, executor)
        remarks = remarks_on(planned, images)
        for remark in remarks:  # now, before hours of training on them
            current().say(f"  {remark}")
        found.failure = all_rejected(images["labelled"])
        if found.failure:
            record.round(images, kept=False)
            break
        made = {role: executor.make(work) for role, work in planned.roles.items()}
        f1 = validation_f1(made["student"])
        kept = not found.students or f1 > best + LEAST_GAIN
        record.round(made, kept=kept, validation_f1=f1)
        if not kept:
            break
        found.students.append(planned.student)
        found.remarks = remarks
        best, teacher, generator = f1, planned.student, planned.generator
    return found


def synthetic_images(planned: Round, executor: Executor) -> dict[str, Artifact]:
    """Role → artifact of all that comes before the student. The scores come before the labels: they
    tell of bad samples before they are used."""
    executor.run([planned.score])
    executor.run([planned.labelled])
    return {
        role: executor.make(work)
        for role, work in planned.roles.items()
        if role in ("generator", "samples", "score", "labelled")
    }


def remarks_on(planned: Round, there: Mapping[str, Artifact]) -> list[str]:
    """Sentences that belong beside every score of these images and of students trained on them.
    there: role → artifact, of those that there are."""
    found = []
    if "labelled" in there:
        evidence = Evidence.of(there["labelled"].metrics, planned.samples.kind)
        found += [evidence.sentence] if evidence is not None and evidence.verdict else []
    if planned.generator is not None and "generator" in there:
        inputs = {**planned.generator.inputs, **planned.generator.outside}
        if why := untrained(there["generator"].metrics, inputs):
            found.append(f"The generator is {why}.")
    return found


def all_rejected(labelled: Artifact) -> str:
    """Why there is nothing to train on, when every synthetic image was rejected; else empty."""
    found = labelled.metrics
    if found["kept"]:
        return ""
    reasons = found["reasons"]
    mostly = f" (mostly: {max(reasons, key=reasons.get)})" if reasons else ""
    return (
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
