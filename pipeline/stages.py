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
from vesselforge.configs.sources import PhantomDrawSettings
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
from vesselforge.engine.progress import Bus, Interrupted
from vesselforge.engine.sinks.board import boards, draw
from vesselforge.engine.sinks.stagelog import StageLog, log_file
from vesselforge.engine.store import Store

DATASET = "vesselforge.data.prepare:outside"
STAGES = {
    kind: Stage(kind, version, f"vesselforge.{function}", settings, outside)
    for kind, version, function, settings, outside in (
        ("data.prepare", 1, "data.prepare:prepare", PrepareSettings, DATASET),
        ("data.phantom", 2, "data.phantoms.sets:draw", PhantomDrawSettings, None),
        ("data.subset", 2, "data.subset:subset", SubsetSettings, None),
        ("segmenter.train", 3, "segmenter.training.fit:train", FitSettings, None),
        ("generator.train", 3, "generator.training.train:train", GeneratorSettings, None),
        ("generator.sample", 2, "generator.sampling.sample_set:sample", SampleSettings, None),
        ("generator.score", 4, "pipeline.score_stage:score", ScoreSettings, None),
        ("segmenter.pseudo-label", 5, "segmenter.labels.pseudo_labels:label", LabelSettings, None),
        ("segmenter.ensemble", 2, "segmenter.ensemble:ensemble", EnsembleSettings, None),
        ("segmenter.evaluate", 3, "segmenter.evaluate:evaluate", EvaluateSettings, None),
        ("segmenter.compare", 1, "segmenter.evaluate:compare", CompareSettings, None),
    )
}

PRELOADED = [
    stage.function.partition(":")[0]
    for kind, stage in STAGES.items()
    if not kind.startswith("data.")  # those need no PyTorch, and may be all that runs
]
"""Modules that are loaded once for all stages, when the first one that is in them runs."""


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
    progress: Bus,
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
    given = settings.model_dump(mode="json")
    job = Job(workspace, STAGES[kind], given, wanted, dict(outside or {}))
    log = StageLog(log_file(workspace, kind, digest), step or kind)
    bus = progress.also(log, *boards(*work))
    bus.started()
    try:
        run_in_child(job, bus, environment, PRELOADED)
    except BaseException as error:
        bus.ended(error)
        raise
    bus.ended(None)
    made = store.find(kind, digest)
    if made is None:
        raise RuntimeError(f"stage {kind} ended without an artifact")
    return Outcome(made, False, time.monotonic() - started)
