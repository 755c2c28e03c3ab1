"""Scores outside of runs: maps on disk or a human observer against the references of a dataset, and
a model, of whatever origin, on the images of any datasets."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.catalogue import DATASETS, KNOWN_NAMES, NAMES
from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, EvaluateSettings
from vesselforge.data.datasets import load_settings, named_dataset, named_settings
from vesselforge.data.formats.images import is_image_name, read_picture, stem_of
from vesselforge.data.formats.masks import probability_of
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.items import Dataset, Item
from vesselforge.data.layouts.splits import SPLITS, TEST, TRAIN, VALIDATION
from vesselforge.data.layouts.warned import warning_line
from vesselforge.data.prepare import write_set
from vesselforge.engine.artifacts import METRICS as METRICS_FILE
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_csv
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.engine.progress import Progress
from vesselforge.engine.sinks.display import Display, current, shown
from vesselforge.segmenter.metrics.scores import (
    METRICS,
    REGIONS,
    Prediction,
    Regions,
    SetScores,
    rounded,
    score_set,
)

Mask = NDArray[np.bool_]
OURS = ("_probability", "_mask", "_overlay")
"""What `segmenter predict` appends; of these the probability is scored."""


class Scorer:
    """The labelled images of a dataset, read once, and lines of scores: who against whom."""

    def __init__(
        self,
        dataset: str,
        split: str,
        progress: Progress,
        pattern: str | None = None,
        mask_values: Mapping[str, str] | None = None,
    ) -> None:
        keep_freed_memory()
        self.dataset, self.split = dataset, split
        self.items = labelled_items(dataset, split, pattern, mask_values)
        first, *others = self.items
        # Those who segmented every image, the reference first.
        self.observers = [o for o in first.masks if all(o in item.masks for item in others)]
        self.lines: list[tuple[dict[str, Any], SetScores]] = []
        self.fovs: list[Mask] = []
        self.ignored = [item.read_ignored() for item in self.items]
        self.truths: dict[str, list[Regions]] = {name: [] for name in self.observers}
        for done, (item, ignored) in enumerate(zip(self.items, self.ignored, strict=True), start=1):
            fov = item.read_fov()
            self.fovs.append(fov if ignored is None else fov & ~ignored)
            for name, truths in self.truths.items():
                truths.append(Regions(item.read_mask(name), self.fovs[-1], ignored))
            progress.update(done, len(self.items), "images")

    def shares(self) -> dict[str, float]:
        """Region → share of pixels that the reference calls vessel."""
        masks, fovs = self._masks(self.observers[0]), self.fovs
        vessels = sum(int((mask & fov).sum()) for mask, fov in zip(masks, fovs, strict=True))
        whole = sum(int(mask.sum()) for mask in masks)
        left_out = sum(0 if one is None else int(one.sum()) for one in self.ignored)
        whole_share = whole / (sum(mask.size for mask in masks) - left_out)
        return {"whole": whole_share, "fov": vessels / sum(int(fov.sum()) for fov in fovs)}

    def score_maps(self, folder: Path, threshold: float) -> None:
        """Add a line for the maps against every observer. Raises DataError when maps are missing,
        ambiguous or of another size."""
        files = zip(find_maps(folder, self.items), self.fovs, self.ignored, strict=True)
        predictions, top = [], 0.0
        for path, fov, ignored in files:
            found = read_map(path, fov.shape)
            top = max(top, float(found.max()))
            predictions.append(Prediction(found, fov, threshold, ignored=ignored))
        for observer in self.observers:
            self._add(folder.resolve().name, observer, threshold, predictions)
        auc = self.lines[-1][1].summary["whole"]["pooled"]["auc"]
        if top < threshold:
            odd = f"no pixel reaches the threshold {threshold:g}, the greatest is {top:.3g}"
            current().say(f"warning: {folder}: {odd}: is 255 or 65535 a probability of 1 there?")
        elif auc is not None and auc < 0.5:
            odd = f"background has higher values than vessels (AUC {auc:.2f})"
            current().say(f"warning: {folder}: {odd}: are the maps inverted, or of other images?")

    def score_observer(self, name: str) -> None:
        """Add the line of a human against the reference. Raises DataError for an unknown one."""
        reference, *others = self.observers
        if name not in others:
            raise DataError(
                f"{self.dataset}: no observer {name!r} beside the reference {reference!r} "
                f"segmented every image; expected one of: {', '.join(others) or 'none'}"
            )
        drawn = zip(self._masks(name), self.fovs, self.ignored, strict=True)
        predictions = [Prediction(mask, fov, ignored=left) for mask, fov, left in drawn]
        self._add(f"observer {name}", reference, None, predictions)

    def _masks(self, observer: str) -> list[Mask]:
        return [truth.whole.mask for truth in self.truths[observer]]

    def _add(
        self, who: str, against: str, threshold: float | None, predictions: list[Prediction]
    ) -> None:
        line = {"who": who, "against": against, "threshold": threshold}
        self.lines.append((line, score_set(predictions, self.truths[against])))

    def result(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        scores = [line | found.summary for line, found in self.lines]
        head = {"dataset": self.dataset, "split": self.split, "images": len(self.items)}
        return head | {"vessel_share": self.shares(), "scores": scores}

    def write_rows(self, path: Path) -> None:
        """Every image, region and line as CSV."""
        rows: list[list[Any]] = [["who", "against", "id", "region", *METRICS]]
        for (line, found), region in product(self.lines, REGIONS):
            for item, values in zip(self.items, found.per_image[region], strict=True):
                figures = (rounded(values[metric]) for metric in METRICS)
                rows.append([line["who"], line["against"], item.id, region, *figures])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, rows)


def items_of(
    dataset: str,
    split: str,
    pattern: str | None = None,
    mask_values: Mapping[str, str] | None = None,
) -> list[Item]:
    """The images that are scored, checked: the test of a known dataset, unless `all`; all of a
    folder. pattern: how the names in a folder are matched. mask_values: see `DataSettings`."""
    splits = [TEST] if split == "test" and dataset in NAMES else list(SPLITS)
    found = _checked(named_settings(dataset, None, pattern, mask_values), splits)
    return [item for item in found if item.split in splits]


def _checked(settings: DataSettings, splits: Sequence[str]) -> Dataset:
    """The dataset. Raises DataError for what is wrong with the images of these splits; what is odd
    about them is said."""
    found = load_settings(settings)
    report = check(found, splits)
    report.raise_first()
    if line := warning_line(report.to_dict(), settings):
        current().say(line)
    return found


def labelled_items(
    dataset: str,
    split: str,
    pattern: str | None = None,
    mask_values: Mapping[str, str] | None = None,
) -> list[Item]:
    """The same. Raises DataError when there is none, and for one without a reference."""
    if named_dataset(dataset, pattern=pattern).whole:
        raise DataError(
            f"{dataset}: found images without masks, expected masks, too, in masks/ or as "
            "eye1_mask.png beside eye1.png"
        )
    items = items_of(dataset, split, pattern, mask_values)
    for item in items:
        if not item.masks:
            raise DataError(
                f"{dataset}: image {item.id!r} has no manual segmentation, so nothing can be "
                f"scored{_as_downloaded(dataset)}"
            )
    if not items:
        raise DataError(f"{dataset}: no images in its {split} split")
    return items


def _as_downloaded(dataset: str) -> str:
    known = DATASETS.get(dataset)
    return (
        f"; {known.title}'s official test package has none"
        if known and known.unlabelled_test
        else ""
    )


def find_maps(folder: Path, items: Sequence[Item]) -> list[Path]:
    """The map of every item: the file whose name holds the item's identifier, as a word of its own
    (`01.png`, `01_test.png`, `01_test_probability.png`); of what `segmenter predict` wrote, the
    probability. Raises DataError when there is none, or more than one."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of maps")
    files = sorted(path for path in folder.iterdir() if is_image_name(path))
    probable = [path for path in files if stem_of(path).endswith(OURS[0])]
    files = probable or [path for path in files if not stem_of(path).endswith(OURS[2])]
    found = []
    for item in items:
        word = re.compile(rf"(?<![0-9a-z]){re.escape(item.id)}(?![0-9a-z])", re.IGNORECASE)
        exact = [path for path in files if stem_of(path) == item.id]
        matching = exact or [path for path in files if word.search(stem_of(path))]
        if len(matching) != 1:
            names = ", ".join(path.name for path in matching) or "none"
            raise DataError(
                f"{folder}: found {len(matching)} maps of image {item.id!r} ({names}), expected "
                f"one whose name holds the identifier, such as {item.id}.png"
            )
        found += matching
    return found


def read_map(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """[H, W] in [0, 1]: a grey image of 8 or 16 bits; one of two values is a mask, 0 or 1. Raises
    DataError for colours, labels, values that fill hardly any of their range, and another size."""
    picture = read_picture(path)
    found = picture.pixels.shape
    if found[:2] != shape:
        raise DataError(
            f"{path}: found {found[1]}×{found[0]} pixels, expected {shape[1]}×{shape[0]}, the size "
            "of the image: score at its own resolution"
        )
    try:
        return probability_of(picture)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def evaluate_on(
    model: Path,
    datasets: list[str],
    display: Display,
    split: str,
    settings: EvaluateSettings,
    pattern: str | None = None,
    mask_values: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Dataset → metrics: of the test images of a known dataset, of every image with split `all`,
    and of every image of a folder in any case. With flips, too, the model's own threshold holds."""
    from vesselforge.segmenter.evaluate import evaluate
    from vesselforge.segmenter.model_files import read_description

    read_description(model)  # a folder without a model is an error before any image is read
    found = {}
    for name in datasets:
        progress = display.begin(name)
        with shown(display), tempfile.TemporaryDirectory() as folder:
            images, scores = Path(folder) / "images", Path(folder) / "scores"
            scores.mkdir()
            items = items_of(name, split, pattern, mask_values)
            items = [replace(item, split=TEST) for item in items]
            write_set(name, items, images, display.begin(name))
            inputs = {"test": Artifact(images, {}), "model": Artifact(model, {})}
            evaluate(settings, inputs, scores, progress)
            how = {"split": split, "flips": settings.flips, "fov_width": settings.fov_width}
            found[name] = json.loads((scores / METRICS_FILE).read_text()) | how
    return found


def development_images(
    name: str, pattern: str | None = None, mask_values: Mapping[str, str] | None = None
) -> list[LoadedImage]:
    """The training and validation images of a dataset, with their masks. Raises DataError where
    there are none, or none with masks."""
    settings, splits = named_settings(name, None, pattern, mask_values), (TRAIN, VALIDATION)
    dataset = load_settings(settings)
    items = [item for item in dataset if item.split in splits]
    if dataset.whole or not items:
        raise DataError(
            f"{name}: found no {' or '.join(splits)} images with masks, expected a known dataset "
            f"({KNOWN_NAMES}) or a folder of images and masks"
        )
    _checked(settings, splits)
    return [item.loaded() for item in items]
