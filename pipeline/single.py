"""Single steps without Prefect: the same work as a run's, at the same addresses."""

from __future__ import annotations

from pathlib import Path

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.engine.store import Store
from vesselforge.generator.metrics.kid_verdict import kid_verdict
from vesselforge.pipeline.evidence import REAL
from vesselforge.pipeline.executor import Executor, Here
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.run_works import remarks_on as of_images
from vesselforge.pipeline.run_works import run_works

NOT_KNOWN = (
    "Whether these images show vessels is not known yet: `vesselforge segmenter pseudo-label` with "
    "the same config looks."
)


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS, and all that it needs."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        executor = Executor(workspace, Here(workspace, config.stage_timeout))
        return executor.make(run_works(config).until(last))


def remarks_on(last: str, config: PipelineConfig, workspace: Path, made: Artifact) -> list[str]:
    """Sentences that belong beside the figures of a step's artifact; of others than samples, scores
    and labels there is nothing to say. Looks into the store, and does no work."""
    if last not in ("samples", "scores", "pseudo-labels"):
        return []
    works, store = run_works(config), Store(workspace)
    planned = works.augmentation()
    there = {
        role: store.read(work.kind, work.digest)
        for role, work in planned.items()
        if work.is_done(store)
    }
    found = [kid_verdict(made.metrics)] if last == "scores" else []
    found += of_images(planned, there)
    labelled = "labelled" in there or planned["samples"].kind in REAL
    if not labelled and config.data.name != "images":
        found.append(NOT_KNOWN)
    return [sentence for sentence in found if sentence]
