"""Every kind of stage: its version, function and settings."""

from __future__ import annotations

from vesselforge.configs.settings import (
    CompareSettings,
    EnsembleSettings,
    EvaluateSettings,
    FitSettings,
    GeneratorSettings,
    LabelSettings,
    PoolSettings,
    PrepareSettings,
    SampleSettings,
    ScoreSettings,
    StartSettings,
    SubsetSettings,
)
from vesselforge.configs.sources import PhantomDrawSettings
from vesselforge.engine.artifacts import Stage

DATASET, START = "vesselforge.data.prepare:outside", "vesselforge.pipeline.starts:outside"
LONGER = {
    kind: f"vesselforge.{room}.training.longer:length"
    for kind, room in (("segmenter.train", "segmenter"), ("generator.train", "generator"))
}
"""What tells how an earlier training of the kind may go on."""
STAGES = {
    kind: Stage(kind, version, f"vesselforge.{function}", settings, outside, LONGER.get(kind))
    for kind, version, function, settings, outside in (
        ("data.prepare", 2, "data.prepare:prepare", PrepareSettings, DATASET),
        ("data.phantom", 2, "data.phantoms.sets:draw", PhantomDrawSettings, None),
        ("data.subset", 2, "data.subset:subset", SubsetSettings, None),
        ("segmenter.start", 1, "pipeline.starts:copy", StartSettings, START),
        ("segmenter.train", 4, "segmenter.training.fit:train", FitSettings, None),
        ("generator.train", 3, "generator.training.train:train", GeneratorSettings, None),
        ("generator.sample", 2, "generator.sampling.sample_set:sample", SampleSettings, None),
        ("generator.score", 4, "pipeline.score_stage:score", ScoreSettings, None),
        ("segmenter.pseudo-label", 5, "segmenter.labels.pseudo_labels:label", LabelSettings, None),
        ("segmenter.ensemble", 2, "segmenter.ensemble:ensemble", EnsembleSettings, None),
        ("segmenter.evaluate", 4, "segmenter.evaluate:evaluate", EvaluateSettings, None),
        ("segmenter.pool", 2, "segmenter.pool_folds:pool_folds", PoolSettings, None),
        ("segmenter.compare", 1, "segmenter.evaluate:compare", CompareSettings, None),
    )
}

PRELOADED = [
    stage.function.partition(":")[0]
    for kind, stage in STAGES.items()
    if not kind.startswith("data.")  # those need no PyTorch, and may be all that runs
]
"""Modules that are loaded once for all stages, when the first one that is in them runs."""
