"""The stage `generator.score`: how good samples are, in the eyes of some feature extractor.

It lives here because the extractor may be the teacher's encoder: it joins two rooms that do not
know each other.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.artifacts import METRICS, Artifact, Inputs
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.generator.metrics.extractors import load_extractor
from vesselforge.generator.metrics.feature_cache import FeatureCache
from vesselforge.generator.metrics.sample_scores import score_samples
from vesselforge.segmenter.features import EncoderFeatures
from vesselforge.segmenter.models import Model


def score(settings: ScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write metrics.json, closest.csv, closest.png and pairs/.

    inputs: `samples` (generator.sample, or any image set; rejected images do not count), `images`
    (prepared, development); `teacher` for features teacher; `generator` (of the samples) for
    path_length_pairs.
    """
    extractor, identity = _extractor(settings, inputs)
    cache = FeatureCache(_cache_folder(inputs["images"]))
    found = score_samples(settings, inputs, extractor, identity, out, progress, cache)
    write_json(out / METRICS, found | {"features": settings.features})


def _extractor(settings: ScoreSettings, inputs: Inputs) -> tuple[nn.Module, str]:
    device = pick_device()
    if settings.features == "teacher":
        teacher = inputs["teacher"]
        return EncoderFeatures(Model.load(teacher.path)).to(device), f"teacher-{teacher.digest}"
    extractor = load_extractor(settings.features, settings.features_file, device)
    return extractor, extractor.identity


def _cache_folder(images: Artifact) -> Path | None:
    """Return `<workspace>/cache/features` of the workspace in whose store the images lie."""
    store = images.path.parents[1]
    return store.parent / "cache" / "features" if store.name == "store" else None
