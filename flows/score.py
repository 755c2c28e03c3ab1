"""The stage `generator.score`: FID and KID with the teacher's encoder or the official Inception.

It lives here because it joins two rooms that do not know each other.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from configs.settings import ScoreSettings
from data.progress import Progress
from data.store import METRICS, Inputs, write_json
from generator.metrics.extractors import load_extractor
from generator.metrics.score import score_images
from segmenter.features import EncoderFeatures
from segmenter.models import Model


def score(settings: ScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """inputs: `samples`, `images` (prepared, development) and `teacher`. Writes metrics.json."""
    extractor: nn.Module
    if settings.features == "teacher":
        extractor = EncoderFeatures(Model.load(inputs["teacher"].path))
    else:
        extractor = load_extractor(settings.features, settings.features_file)
    found = score_images(settings, inputs["images"].path, inputs["samples"].path, extractor)
    write_json(out / METRICS, found | {"features": settings.features})
    progress.message(f"FID {found['fid']:.3g}, KID {found['kid_mean']:.3g}")
