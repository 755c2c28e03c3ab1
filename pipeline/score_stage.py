"""The stage `generator.score`: how good samples are, in the eyes of some feature extractor.

It lives here because the extractor may be the teacher's encoder: it joins two rooms that do not
know each other.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.generator.metrics.extractors import load_extractor
from vesselforge.generator.metrics.sample_scores import score_samples
from vesselforge.segmenter.features import EncoderFeatures
from vesselforge.segmenter.models import Model


def score(settings: ScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write metrics.json, closest.csv, closest.png and pairs/.

    inputs: `samples` (generator.sample, or any image set; rejected images do not count), `images`
    (prepared, development); `teacher` for features teacher; `generator` (of the samples) where
    these do not say how they were made.
    """
    device = pick_device()
    extractor: nn.Module
    if settings.features == "teacher":
        extractor = EncoderFeatures(Model.load(inputs["teacher"].path)).to(device)
    else:
        extractor = load_extractor(settings.features, device)
    found = score_samples(settings, inputs, extractor, out, progress)
    write_json(out / METRICS, found | {"features": settings.features})
