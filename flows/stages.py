"""Every kind of stage, and how it is run: reused when finished, else in a child process."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from configs.phantoms import PhantomDrawSettings
from configs.settings import (
    CompareSettings,
    EnsembleSettings,
    EvaluateSettings,
    FitSettings,
    GeneratorSettings,
    PrepareSettings,
    PseudoLabelSettings,
    SampleSettings,
    ScoreSettings,
    SubsetSettings,
)
from data.progress import Interrupted, Progress
from data.store import Artifact, Inputs, Stage, Store, address, input_digests, read_artifact
from flows.board import draw, drawn
from flows.child import run_in_child
from flows.stagelog import logged

STAGES = {
    stage.kind: stage
    for stage in (
        Stage("data.prepare", 1, "data.prepare:prepare", PrepareSettings, "data.prepare:outside"),
        Stage("data.phantom", 1, "data.phantoms.stage:draw", PhantomDrawSettings),
        Stage("data.subset", 1, "data.subset:subset", SubsetSettings),
        Stage("segmenter.train", 3, "segmenter.training.fit:train", FitSettings),
        Stage("generator.train", 2, "generator.training.stage:train", GeneratorSettings),
        Stage("generator.sample", 2, "generator.sampling.stage:sample", SampleSettings),
        Stage("generator.score", 4, "flows.score:score", ScoreSettings),
        Stage("segmenter.pseudo-label", 3, "segmenter.labels.stage:label", PseudoLabelSettings),
        Stage("segmenter.ensemble", 2, "segmenter.ensemble:ensemble", EnsembleSettings),
        Stage("segmenter.evaluate", 2, "segmenter.evaluate:evaluate", EvaluateSettings),
        Stage("segmenter.compare", 1, "segmenter.compare:compare", CompareSettings),
    )
}


@dataclass(frozen=True)
class Outcome:
    """An artifact, and whether it was there already. seconds: of this call."""

    artifact: Artifact
    reused: bool
    seconds: float


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
    spec = {
        "workspace": str(workspace),
        "kind": kind,
        "stage": _name_stage(STAGES[kind]),
        "settings": settings.model_dump(mode="json"),
        "inputs": {name: [a.kind, a.digest] for name, a in inputs.items()},
        "outside": dict(outside or {}),
    }
    with drawn(progress, *work) as watched, logged(watched, *work) as heard:
        run_in_child(spec, heard, environment)
    made = store.find(kind, digest)
    if made is None:
        raise RuntimeError(f"stage {kind} ended without an artifact")
    return Outcome(made, False, time.monotonic() - started)


def _name_stage(stage: Stage) -> dict[str, Any]:
    """A stage as JSON, so that the child runs exactly the one that the parent means."""
    model = stage.settings
    return {
        "kind": stage.kind,
        "version": stage.version,
        "function": stage.function,
        "settings": f"{model.__module__}:{model.__qualname__}",
        "outside": stage.outside,
    }


def named_stage(named: Mapping[str, Any]) -> Stage:
    """The child's end of `_name_stage`."""
    module, _, name = named["settings"].partition(":")
    model = getattr(importlib.import_module(module), name)
    return Stage(named["kind"], named["version"], named["function"], model, named["outside"])
