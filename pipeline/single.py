"""Single steps without Prefect: the same work as a run's, at the same addresses."""

from __future__ import annotations

from pathlib import Path

from vesselforge.configs.settings import GeneratorSettings, PipelineConfig
from vesselforge.engine.artifacts import Artifact, read_artifact
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.engine.store import Store
from vesselforge.generator.metrics.kid_verdict import kid_verdict
from vesselforge.pipeline.evidence import REAL, Evidence, untrained
from vesselforge.pipeline.executor import Executor, Here
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.run import Round, run_works

OF_SAMPLES = ("samples", "scores")
"""The steps of whose images it has to be said whether they show vessels."""
NOT_KNOWN = (
    "Whether these images show vessels is not known yet: `vesselforge segmenter pseudo-label` with "
    "the same config looks."
)


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS (of the first round), and all that it needs."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        executor = Executor(workspace, Here(workspace, display, config.stage_timeout))
        return executor.make(run_works(config).until(last))


def remarks_on(last: str, config: PipelineConfig, workspace: Path, made: Artifact) -> list[str]:
    """Sentences that belong beside the figures of a step's artifact; of others than samples, scores
    and labels there is nothing to say. Looks into the store, and does no work."""
    if last not in (*OF_SAMPLES, "pseudo-labels"):
        return []
    works, store = run_works(config), Store(workspace)
    planned = works.round(0, works.teacher())
    found = [kid_verdict(made.metrics)] if last == "scores" else []
    if planned.samples.kind not in REAL:
        found.append(_structure(planned, config, store))
    if planned.generator is not None and (trained := _found(planned.generator, store)) is not None:
        inputs = {**planned.generator.inputs, **planned.generator.outside}
        why = untrained(trained.metrics, inputs)
        found.append(f"The generator is {why}." if why else "")
    return [sentence for sentence in found if sentence]


def _structure(planned: Round, config: PipelineConfig, store: Store) -> str:
    """Whether the images show vessels: by their labels, if they have any yet, else by the masks
    that the generator drew in training."""
    if (labelled := _found(planned.labelled, store)) is not None:
        evidence = Evidence.of(labelled.metrics, planned.samples.kind)
        return evidence.sentence if evidence else ""
    work = planned.generator
    trained = None if work is None else _found(work, store)
    if work is not None and trained is not None and isinstance(work.settings, GeneratorSettings):
        evidence = Evidence.of_generator(trained.metrics, work.settings.snapshot_images)
        if evidence is not None:
            return evidence.sentence
    return "" if config.data.name == "images" else NOT_KNOWN


def _found(work: Work, store: Store) -> Artifact | None:
    """What is in the store, its files not looked at."""
    return read_artifact(store.folder(work.kind, work.digest)) if work.is_done(store) else None
