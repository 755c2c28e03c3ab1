"""A run: its work (teacher, rounds of synthetic images and a student, ensembles, scores), and the
order in which it is asked for, by whatever does it; and single steps of it, without Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import EnsembleSettings, PipelineConfig
from vesselforge.data.imageset import PHOTOGRAPHS
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import Display, current, shown
from vesselforge.engine.store import Store
from vesselforge.generator.metrics.kid_verdict import kid_verdict
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.executor import Executor, Here
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.sources import Request, source_of
from vesselforge.pipeline.works import PHASES, Shows, Supply, Works, contents_of, phases_of

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

    def teacher(self) -> Work:
        return self.on_real("teacher", self.config.teacher, self.development())

    def augmentation(
        self, number: int = 1, teacher: Work | None = None, start: Work | None = None
    ) -> dict[str, Work]:
        """Role → work of round `number`: LABELLED, `generator` only where one is trained, then
        `pretrained` if there are two phases, and `student`. teacher: of this round, by default the
        run's; start: the generator of the round before."""
        config, real = self.config, self.development()
        name = f", round {number}" if number > 1 else ""
        request = Request(real=real, shown=real)
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
            found[name] = Work(name, "segmenter.ensemble", settings, inputs)
        return found

    def scored(self, models: Mapping[str, Work]) -> Work:
        """Scores of every model on the test split."""
        return self.evaluation("test scores", models, self.test(), self.development())

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
        made = self.augmentation()
        members = {"teacher": self.teacher(), "student": made["student"]}
        ensembles = self.ensembles(members)
        named = [self.development(), self.test(), members["teacher"], *made.values()]
        return [*named, *ensembles.values(), self.scored(members | ensembles)]


def run_works(config: PipelineConfig) -> RunWorks:
    """The work of a run. Raises DataError for a dataset that is not there."""
    return RunWorks(config, contents_of(config.data))


@dataclass(frozen=True)
class Augmented:
    """What a run came to. remarks: what a reader of its scores has to know of its synthetic images.
    failure: why there is no student, where that is to be mended."""

    evaluation: Artifact
    remarks: list[str]
    failure: str


def augment(works: RunWorks, executor: Executor, record: RunRecord) -> Augmented:
    """Teacher, synthetic images, student, ensembles, and their scores on the test split.

    Every artifact is noted in the record under its role. Where all synthetic images were rejected,
    the models that there are are scored all the same; the teacher alone makes no ensemble.
    """
    # Damaged files show before hours of training: the test images are made early, and seen late.
    first = {"development": works.development(), "test": works.test(), "teacher": works.teacher()}
    for role, work in first.items():
        record.artifact(role, executor.make(work))
    students, remarks, failure = improve(works, executor, record)
    members = {"teacher": first["teacher"]} | students
    ensembles = works.ensembles(members) if students else {}
    for name, work in ensembles.items():
        record.artifact(name, executor.make(work))
    scores = executor.make(works.scored(members | ensembles))
    return Augmented(record.artifact("evaluation", scores), remarks, failure)


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
        f1.append(validation_f1(made(number, planned)["student"]))
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


def remarks_on(planned: Mapping[str, Work], there: Mapping[str, Artifact]) -> list[str]:
    """Sentences that belong beside every score of these images and of students trained on them.
    there: role → artifact, of those that there are."""
    found = []
    if "labelled" in there:
        evidence = Evidence.of(there["labelled"].metrics, planned["samples"].kind)
        found += [evidence.sentence] if evidence is not None and evidence.verdict else []
    if "generator" in there:
        inputs = {**planned["generator"].inputs, **planned["generator"].outside}
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


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS, and all that it needs, at the addresses of a run."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        executor = Executor(workspace, Here(workspace, config.stage_timeout))
        return executor.make(run_works(config).until(last))


def remarks_on_step(
    last: str, config: PipelineConfig, workspace: Path, made: Artifact
) -> list[str]:
    """Sentences that belong beside the figures of a step's artifact; of others than samples, scores
    and labels there is nothing to say. Looks into the store, and does no work."""
    if last not in ("samples", "scores", "pseudo-labels"):
        return []
    store, planned = Store(workspace), run_works(config).augmentation()
    there = {
        role: store.read(work.kind, work.digest)
        for role, work in planned.items()
        if work.is_done(store)
    }
    found = [kid_verdict(made.metrics)] if last == "scores" else []
    found += remarks_on(planned, there)
    if config.data.name != "images" and not (
        "labelled" in there or planned["samples"].kind in PHOTOGRAPHS
    ):
        found.append(NOT_KNOWN)
    return [sentence for sentence in found if sentence]
