"""What a run consists of: teacher, rounds of synthetic images and students, ensembles, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.sources import Request
from vesselforge.pipeline.works import PHASES, Shows, Works, contents_of, phases_of

LAST_STEPS = ("development", "teacher", "generator", "samples", "scores", "pseudo-labels")
"""What the single steps of the command line end with."""
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
        return self.trained("teacher", self.config.teacher, {"images": self.development()})

    def round(self, number: int, teacher: Work, start: Work | None = None) -> Round:
        """Round `number`, from 0. teacher: of this round; start: the generator of the one before,
        fine-tuned on where the settings say so."""
        config, name = self.config, numbered("", number)
        development = self.development()
        if start is None or config.iterate.generator_kimg == 0:
            request = Request(real=development, shown=development)
        else:
            request = Request(real=development, shown=development, name=name, start=start)
        supply = self.supply(config.source, request, [teacher])
        count = config.sample.count
        samples = supply.samples(count, number * count, name)  # other images in every round
        score = supply.scores(f"sample scores{name}", samples)
        labelled = supply.labelled(f"{supply.title}{name}", samples, score)
        shows = PHASES[config.order]
        phases = phases_of(shows, config.pretrain, config.finetune)
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
