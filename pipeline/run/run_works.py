"""A run: its work (teacher, rounds of synthetic images and a student, ensembles, scores), and the
order in which it is asked for, by whatever does it; and single steps of it, without Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import EnsembleSettings, PipelineConfig, PrepareSettings
from vesselforge.configs.sources import NoSource
from vesselforge.data.imageset import PHOTOGRAPHS
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.prepare import content_hash
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import Display, current, shown
from vesselforge.engine.store import Store
from vesselforge.generator.metrics.kid_verdict import kid_verdict
from vesselforge.pipeline.executor import Executor, Here, warnings_of
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.models.choice import START, TUNED, Choice, choose
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.run.remarks import NOT_PRETRAINED, all_rejected, remarks_on
from vesselforge.pipeline.sources import Request, source_of
from vesselforge.pipeline.works import (
    PHASES,
    Shows,
    Supply,
    Works,
    begun_by,
    contents_of,
    phases_of,
)

LAST_STEPS = ("development", "teacher", "generator", "samples", "scores", "pseudo-labels")
"""What the single steps of the command line end with."""
LEAST_GAIN = 0.001
"""Validation F1 by which a student has to be better to teach another round."""
NOT_KNOWN = (
    "Whether these images show vessels is not known yet: `vesselforge segmenter pseudo-label` with "
    "the same config looks."
)
SHOWN: dict[Shows, str] = {
    "synthetic": ", synthetic images",
    "real": ", real images",
    "mixed": ", real and synthetic images",
}
LABELLED = ("generator", "samples", "score", "labelled")
"""Roles of what comes before the student; scores before labels, for they tell of bad samples."""


@dataclass(frozen=True)
class RunWorks(Works):
    """The work of a run."""

    config: PipelineConfig

    @property
    def real_alone(self) -> bool:
        """Whether there are no synthetic images, and so no student and no ensemble."""
        return isinstance(self.config.source, NoSource)

    def teacher(self) -> Work:
        return self.on_real(f"teacher{self.mark}", self.config.teacher, self.development())

    def final(self) -> Work | None:
        """Of a run of real images alone, the model for use: trained as its teacher, but on all
        images that are not in the validation. None where the teacher is that, because the dataset
        or a splits.csv keeps its test images apart."""
        data = self.config.data
        if not self.real_alone or data.name != "paired":
            return None
        held = {id_: split for id_, split in data.known_splits.items() if split != TEST}
        changes = {"test_share": 0.0, "folds": None, "fold": None, "known_splits": held}
        whole = data.model_copy(update=changes)
        content = content_hash(whole)
        if content == self.content[data.name]:
            return None
        settings = PrepareSettings(data=whole, part="development")
        images = Work("all images", "data.prepare", settings, {}, {"dataset": content})
        return self.on_real("final model", self.config.teacher, images)

    def start(self) -> Work | None:
        """The model that the teacher begins with."""
        return self.begun.get("teacher.start_from")

    def rated(self, teacher: Work) -> dict[str, Work]:
        """The teacher, and what it began with, by the names that their scores have."""
        start = self.start()
        if start is None:
            return {"teacher": teacher}
        return {START: start, TUNED if self.real_alone else "teacher": teacher}

    def augmentation(
        self, number: int = 1, teacher: Work | None = None, start: Work | None = None
    ) -> dict[str, Work]:
        """Role → work of round `number`: LABELLED, `generator` only where one is trained, then
        `pretrained` if there are two phases, and `student`. teacher: of this round, by default the
        run's; start: the generator of the round before."""
        config, real = self.config, self.development()
        name = (f", round {number}" if number > 1 else "") + self.mark
        request = Request(real=real, shown=real, name=self.mark)
        if start is not None and config.iterate.generator_kimg:
            kimg = config.iterate.generator_kimg
            request = replace(request, name=name, start=start, kimg=kimg)
        supply = Supply(source_of(config.source, config), request, teacher or self.teacher())
        count = config.sample.count
        samples = supply.samples(count, (number - 1) * count, name)  # others in every round
        score = supply.scores(f"sample scores{name}", samples)
        labelled = supply.labelled(f"pseudo-labels{name}", samples, score)
        shows = PHASES[config.order]
        phases = phases_of(config, shows)
        steps = [f"student{SHOWN[each]}{name}" for each in shows]
        trainings = self.student(phases, steps, real, labelled)
        generator = supply.generator()
        found = {} if generator is None else {"generator": generator}
        found |= {"samples": samples, "score": score, "labelled": labelled}
        names = ("pretrained", "student")[-len(trainings) :]
        return found | dict(zip(names, trainings, strict=True))

    def ensembles(self, members: Mapping[str, Work]) -> dict[str, Work]:
        """`ensemble`, the run's model, then `ensemble-<method>` for the further methods. What a
        combination needs is chosen on validation images."""
        inputs = {**members, "validation": self.development()}
        found: dict[str, Work] = {}
        for method in self.config.ensembles:
            name = f"ensemble-{method}" if found else "ensemble"
            settings = EnsembleSettings(method=method)
            found[name] = Work(f"{name}{self.mark}", "segmenter.ensemble", settings, inputs)
        return found

    def scored(self, models: Mapping[str, Work]) -> Work:
        """Scores of every model on the test split."""
        return self.evaluation(f"test scores{self.mark}", models, self.test(), self.development())

    def until(self, last: str) -> Work:
        """The work of one of LAST_STEPS, of the first round."""
        if last == "development":
            return self.development()
        if last == "teacher":
            return self.teacher()
        role = {"scores": "score", "pseudo-labels": "labelled"}.get(last, last)
        made = self.augmentation()
        if role not in made:
            raise ConfigError(f"source {self.config.source.kind}: it has no generator to train")
        return made[role]

    def everything(self) -> list[Work]:
        """All that a run of a single round does, in its order; further ones depend on it."""
        teacher = self.teacher()
        named = [self.development(), self.test(), teacher]
        if self.real_alone:
            return [*named, self.scored(self.rated(teacher))]
        made = self.augmentation()
        students = {"student": made["student"]}
        ensembles = self.ensembles({"teacher": teacher} | students)
        scored = self.scored(self.rated(teacher) | students | ensembles)
        return [*named, *made.values(), *ensembles.values(), scored]


def run_works(config: PipelineConfig, workspace: Path | None = None) -> RunWorks:
    """The work of a run. workspace: where models to begin with are looked for by name. Raises
    DataError for a dataset that is not there, UserError for such a model."""
    return RunWorks(config, contents_of(config.data), begun_by(config, workspace))


@dataclass(frozen=True)
class Augmented:
    """What a run came to. choice: which model serves, see `models.choice`, None where each fold has
    its own; remarks: what a reader of its scores has to know. failure: why there is no student,
    where that is to be mended."""

    evaluation: Artifact
    choice: Choice | None
    remarks: list[str]
    failure: str


def augment(works: RunWorks, executor: Executor, record: RunRecord) -> Augmented:
    """Teacher, synthetic images, student, ensembles, and their scores on the test split.

    Every artifact is noted in the record under its role. Where all synthetic images were rejected,
    the models that there are are scored all the same; the teacher alone makes no ensemble.
    """
    # Damaged files show before hours of training: the test images are made early, and seen late.
    first = {"development": works.development(), "test": works.test()}
    first |= {START: start} if (start := works.start()) else {}
    teacher = first["teacher"] = works.teacher()
    made = {role: record.artifact(role, executor.make(work)) for role, work in first.items()}
    none: tuple[dict[str, Work], list[str], str] = ({}, [], "")
    students, remarks, failure = none if works.real_alone else improve(works, executor, record)
    ensembles = works.ensembles({"teacher": teacher} | students) if students else {}
    for role, work in (students | ensembles).items():
        made[role] = record.artifact(role, executor.make(work))
    scores = executor.make(works.scored(works.rated(teacher) | students | ensembles))
    record.artifact("evaluation", scores)
    serving = ["teacher", *[*students][-1:], *[*ensembles][:1]]
    if works.config.finetune.start_from is not None and students:
        remarks.append(NOT_PRETRAINED[works.config.order])
    return Augmented(scores, choose({r: known_f1(made[r]) for r in serving}), remarks, failure)


def improve(
    works: RunWorks, executor: Executor, record: RunRecord
) -> tuple[dict[str, Work], list[str], str]:
    """Rounds in which the last student teaches the next one, while that makes it better.

    Returns role → student of those that are kept, the remarks on the images of the last of them,
    and why there was none in a round of which every image was rejected, else an empty string.
    """

    def made(number: int, planned: Mapping[str, Work]) -> dict[str, Artifact]:
        return {
            role: record.artifact(in_round(role, number), executor.make(work))
            for role, work in planned.items()
        }

    students: dict[str, Work] = {}
    f1: list[float] = []
    remarks: list[str] = []
    teacher, generator = works.teacher(), None
    for number in range(1, works.config.iterate.rounds + 1):
        planned = works.augmentation(number, teacher, generator)
        images = made(number, {role: planned[role] for role in LABELLED if role in planned})
        said = remarks_on(planned, images)
        for remark in said:  # now, before hours of training on them
            current().say(f"  {remark}")
        if failure := all_rejected(images["labelled"]):
            return students, remarks or said, failure
        f1.append(made(number, planned)["student"].metrics["validation"]["f1"])
        if kept_rounds(f1) < number:
            break
        students[in_round("student", number)] = teacher = planned["student"]
        generator, remarks = planned.get("generator"), said
    return students, remarks, ""


def in_round(role: str, number: int) -> str:
    """A role in the run's record; those of further rounds have the round's number: `student-2`."""
    return f"{role}-{number}" if number > 1 else role


def kept_rounds(f1: Sequence[float]) -> int:
    """How many rounds are kept, by the validation F1 of their students: the first, and all before
    one that is no better than the round before by LEAST_GAIN."""
    better = (new > old + LEAST_GAIN for old, new in pairwise(f1))
    return len(f1[:1]) + len(list(takewhile(bool, better)))


def known_f1(model: Artifact) -> float | None:
    """Pooled F1 inside the field of view on the validation images; None where it is not known."""
    found: float | None = model.metrics.get("validation", {}).get("f1")
    return found


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS, and all that it needs, at the addresses of a run."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        executor = Executor(workspace, Here(workspace, config.stage_timeout))
        return executor.make(run_works(config, workspace).until(last))


def remarks_on_step(
    last: str, config: PipelineConfig, workspace: Path, made: Artifact
) -> list[str]:
    """Sentences that belong beside the figures of a step's artifact: what was warned of the images,
    and whether samples show vessels. Looks into the store, and does no work."""
    store, works = Store(workspace), run_works(config, workspace)
    images = works.development()
    found = []
    if images.is_done(store):
        found += [warnings_of(images, store.read(images.kind, images.digest))]
    if last not in ("samples", "scores", "pseudo-labels"):
        return list(filter(None, found))
    planned = works.augmentation()
    there = {
        role: store.read(work.kind, work.digest)
        for role, work in planned.items()
        if work.is_done(store)
    }
    found += [kid_verdict(made.metrics)] if last == "scores" else []
    found += remarks_on(planned, there)
    if config.data.name != "images" and not (
        "labelled" in there or planned["samples"].kind in PHOTOGRAPHS
    ):
        found.append(NOT_KNOWN)
    return [sentence for sentence in found if sentence]
