"""Every kind of stage: its version, its function and its settings."""

from __future__ import annotations

from configs.phantoms import PhantomDrawSettings
from configs.settings import (
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
from data.store import Stage

STAGES = {
    stage.kind: stage
    for stage in (
        Stage("data.prepare", 1, "data.prepare:prepare", PrepareSettings, "data.prepare:outside"),
        Stage("data.phantom", 2, "data.phantoms.stage:draw", PhantomDrawSettings),
        Stage("data.subset", 2, "data.subset:subset", SubsetSettings),
        Stage("segmenter.train", 3, "segmenter.training.fit:train", FitSettings),
        Stage("generator.train", 3, "generator.training.stage:train", GeneratorSettings),
        Stage("generator.sample", 2, "generator.sampling.stage:sample", SampleSettings),
        Stage("generator.score", 4, "pipeline.score:score", ScoreSettings),
        Stage("segmenter.pseudo-label", 5, "segmenter.labels.stage:label", LabelSettings),
        Stage("segmenter.ensemble", 2, "segmenter.ensemble:ensemble", EnsembleSettings),
        Stage("segmenter.evaluate", 3, "segmenter.evaluate:evaluate", EvaluateSettings),
        Stage("segmenter.compare", 1, "segmenter.compare:compare", CompareSettings),
    )
}
