"""A model, of whatever origin, scored on the images of any datasets."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import EvaluateSettings
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.items import Item
from vesselforge.data.layouts.named import KNOWN, named_dataset
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.prepare import write_set
from vesselforge.engine.artifacts import METRICS, Artifact
from vesselforge.engine.sinks.display import Display
from vesselforge.pipeline.models.scoring import items_of


def evaluate_on(
    model: Path, datasets: list[str], display: Display, split: str, settings: EvaluateSettings
) -> dict[str, dict[str, Any]]:
    """Dataset → metrics: of the test images of a known dataset, of every image with split `all`,
    and of every image of a folder in any case. With flips, too,
    the model's own threshold holds."""
    from vesselforge.segmenter.evaluate import evaluate
    from vesselforge.segmenter.models import read_members

    read_members(model)  # a folder without a model is an error before any image is read
    found = {}
    for name in datasets:
        progress = display.begin(name)
        with tempfile.TemporaryDirectory() as folder:
            images, scores = Path(folder) / "images", Path(folder) / "scores"
            scores.mkdir()
            _write_images(name, split, images, display)
            inputs = {"test": Artifact(images, {}), "model": Artifact(model, {})}
            evaluate(settings, inputs, scores, progress)
            how = {"split": split, "flips": settings.flips, "fov_width": settings.fov_width}
            found[name] = json.loads((scores / METRICS).read_text()) | how
        display.close()
    return found


def development_images(name: str, splits: Sequence[str]) -> list[LoadedImage]:
    """The images of these splits of a dataset, with their masks. Raises DataError where there are
    none, or none without masks."""
    dataset = named_dataset(name)
    items = [item for item in dataset if item.split in splits]
    if dataset.whole or not items:
        raise DataError(
            f"{name}: found no {' or '.join(splits)} images with masks, expected a known dataset "
            f"({', '.join(KNOWN)}) or a folder with images/ and masks/"
        )
    check(dataset, splits).raise_first()
    return [_loaded(item) for item in items]


def _loaded(item: Item) -> LoadedImage:
    image, mask = item.read_image(), item.read_mask(next(iter(item.masks)))
    return LoadedImage(item.id, image, mask.astype(np.float32), item.read_fov(image), {})


def _write_images(name: str, split: str, out: Path, display: Display) -> None:
    items = [replace(item, split=TEST) for item in items_of(name, split)]
    write_set(name, items, out, display.begin(name))
