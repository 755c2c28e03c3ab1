"""Every kind of stage (its version, function and settings), and how one is run: reused when
finished, else in a child process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from vesselforge.configs.settings import (
    CompareSettings,
    EnsembleSettings,
    EvaluateSettings,
    FitSettings,
    GeneratorSettings,
    LabelSettings,
    PrepareSettings,
    SampleSettings,
    ScoreSettings,
    SubsetSettings,
)
from vesselforge.configs.stages.phantoms import PhantomDrawSettings
from vesselforge.engine.artifacts import (
    Artifact,
    Inputs,
    Outcome,
    Stage,
    address,
    input_digests,
    read_artifact,
)
from vesselforge.engine.processes.child import Job, run_in_child
from vesselforge.engine.progress import Bus, Interrupted, Progress
from vesselforge.engine.sinks.board import draw, drawn
from vesselforge.engine.sinks.stagelog import logged
from vesselforge.engine.store import Store

STAGES = {
    stage.kind: stage
    for stage in (
        Stage(
            "data.prepare",
            1,
            "vesselforge.data.prepare:prepare",
            PrepareSettings,
            "vesselforge.data.prepare:outside",
        ),
        Stage("data.phantom", 2, "vesselforge.data.phantoms.stage:draw", PhantomDrawSettings),
        Stage("data.subset", 2, "vesselforge.data.subset:subset", SubsetSettings),
        Stage("segmenter.train", 3, "vesselforge.segmenter.training.fit:train", FitSettings),
        Stage(
            "generator.train", 3, "vesselforge.generator.training.stage:train", GeneratorSettings
        ),
        Stage("generator.sample", 2, "vesselforge.generator.sampling.stage:sample", SampleSettings),
        Stage("generator.score", 4, "vesselforge.pipeline.score:score", ScoreSettings),
        Stage(
            "segmenter.pseudo-label", 5, "vesselforge.segmenter.labels.stage:label", LabelSettings
        ),
        Stage("segmenter.ensemble", 2, "vesselforge.segmenter.ensemble:ensemble", EnsembleSettings),
        Stage("segmenter.evaluate", 3, "vesselforge.segmenter.evaluate:evaluate", EvaluateSettings),
        Stage("segmenter.compare", 1, "vesselforge.segmenter.compare:compare", CompareSettings),
    )
}

PRELOADED = [
    stage.function.partition(":")[0]
    for kind, stage in STAGES.items()
    if not kind.startswith("data.")  # those need no PyTorch, and may be all that runs
]
"""Modules that are loaded once for all stages, when the first one that is in them runs."""


def find(
    store: Store,
    kind: str,
    settings: BaseModel,
    inputs: Inputs,
    outside: Mapping[str, str] | None = None,
) -> Artifact | None:
    """The finished artifact of this work, if there is one. Imports no torch."""
    return store.find(kind, digest_of(kind, settings, inputs, outside))


def digest_of(
    kind: str, settings: BaseModel, inputs: Inputs, outside: Mapping[str, str] | None = None
) -> str:
    """The digest of this work, done or not."""
    return address(kind, STAGES[kind].version, settings, input_digests(inputs, outside))


def finished(store: Store, kind: str, digest: str) -> Artifact:
    """An artifact that was found or made a moment ago, its files not checked again."""
    return read_artifact(store.folder(kind, digest))


def produce(
    workspace: Path,
    kind: str,
    settings: BaseModel,
    inputs: Inputs,
    progress: Progress,
    outside: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    step: str | None = None,
) -> Outcome:
    """The artifact of this work: found, or made in a child process that dies with this one.

    environment: goes over this process's own, for the child. step: what the work is called in
    its log; else its kind.

    Raises UserError for bad input, StageCrashed when the child was killed, Interrupted when it
    was asked to stop (its checkpoint is saved: the same call later goes on from there).
    """
    started = time.monotonic()
    store = Store(workspace).open()
    digest = digest_of(kind, settings, inputs, outside)
    work = (workspace, kind, digest, step or kind)
    found = store.find(kind, digest)
    if found is not None:
        draw(*work)
        return Outcome(found, True, time.monotonic() - started)
    if progress.stop_requested:
        raise Interrupted(f"stopped before {kind}; the same command goes on from there")
    wanted = {name: (artifact.kind, artifact.digest) for name, artifact in inputs.items()}
    job = Job(workspace, STAGES[kind], settings, wanted, dict(outside or {}))
    with drawn(*work) as board, logged(*work) as log:
        bus = Bus.of(progress).also(log, board)
        bus.started()
        run_in_child(job, bus, environment, PRELOADED)
    made = store.find(kind, digest)
    if made is None:
        raise RuntimeError(f"stage {kind} ended without an artifact")
    return Outcome(made, False, time.monotonic() - started)
