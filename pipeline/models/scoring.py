"""Maps on disk, or a human observer, scored against the references of a dataset."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.catalogue import NAMES
from vesselforge.configs.errors import DataError
from vesselforge.data.datasets import named_dataset
from vesselforge.data.formats.images import (
    binarise,
    is_binary,
    is_image_name,
    read_picture,
    stem_of,
)
from vesselforge.data.layouts.items import Item
from vesselforge.data.layouts.splits import SPLITS, TEST
from vesselforge.engine.files import write_atomic
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.metrics import (
    METRICS,
    REGIONS,
    Prediction,
    Regions,
    SetScores,
    score_set,
)
from vesselforge.segmenter.metrics.intervals import rounded

OURS = ("_probability", "_mask", "_overlay")
"""What `segmenter predict` appends; of these the probability is scored."""


@dataclass(frozen=True)
class Line:
    """Who was scored against whom. threshold: of maps; None for a human."""

    who: str
    against: str
    threshold: float | None
    found: SetScores


class Scorer:
    """The labelled images of a dataset, read once, and lines of scores: who against whom."""

    def __init__(self, dataset: str, split: str, progress: Progress) -> None:
        self.dataset, self.split = dataset, split
        self.items = labelled_items(dataset, split)
        self.observers = _common_observers(self.items)
        self.lines: list[Line] = []
        self.fovs: list[NDArray[np.bool_]] = []
        self.masks: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in self.observers}
        for done, item in enumerate(self.items, start=1):
            self.fovs.append(item.read_fov())
            for name in self.observers:
                self.masks[name].append(item.read_mask(name))
            progress.update(done, len(self.items), "images")
        self.truths = {
            name: [Regions(mask, fov) for mask, fov in zip(masks, self.fovs, strict=True)]
            for name, masks in self.masks.items()
        }

    @property
    def reference(self) -> str:
        """The observer that everybody is compared with."""
        return self.observers[0]

    def shares(self) -> dict[str, float]:
        """Region → share of pixels that the reference calls vessel."""
        truths = self.truths[self.reference]
        inside = [(t.inside.mask.sum(), t.inside.mask.size if t.fov is None else t.fov.sum())
                  for t in truths]  # fmt: skip
        whole = [(t.whole.mask.sum(), t.whole.mask.size) for t in truths]
        pixels = {"whole": whole, "fov": inside}
        return {name: float(np.divide(*np.sum(counts, axis=0))) for name, counts in pixels.items()}

    def score_maps(self, folder: Path, threshold: float) -> None:
        """Add a line for the maps against every observer. Raises DataError when maps are missing,
        ambiguous or of another size."""
        maps = [
            read_map(path, fov.shape)
            for path, fov in zip(find_maps(folder, self.items), self.fovs, strict=True)
        ]
        predictions = [
            Prediction(prob, fov, threshold) for prob, fov in zip(maps, self.fovs, strict=True)
        ]
        for observer in self.observers:
            found = score_set(predictions, self.truths[observer])
            self.lines.append(Line(folder.resolve().name, observer, threshold, found))

    def score_observer(self, name: str) -> None:
        """Add the line of a human against the reference. Raises DataError for an unknown one."""
        if name not in self.observers[1:]:
            others = ", ".join(self.observers[1:]) or "none"
            raise DataError(
                f"{self.dataset}: no observer {name!r} beside the reference {self.reference!r} "
                f"segmented every image; expected one of: {others}"
            )
        predictions = [
            Prediction(mask, fov) for mask, fov in zip(self.masks[name], self.fovs, strict=True)
        ]
        found = score_set(predictions, self.truths[self.reference])
        self.lines.append(Line(f"observer {name}", self.reference, None, found))

    def result(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        scores = [
            {"who": line.who, "against": line.against, "threshold": line.threshold}
            | line.found.summary
            for line in self.lines
        ]
        head = {"dataset": self.dataset, "split": self.split, "images": len(self.items)}
        return head | {"vessel_share": self.shares(), "scores": scores}

    def write_rows(self, path: Path) -> None:
        """Every image, region and line as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["who", "against", "id", "region", *METRICS])
        for line in self.lines:
            for region in REGIONS:
                for item, values in zip(self.items, line.found.per_image[region], strict=True):
                    row = (rounded(values[metric]) for metric in METRICS)
                    writer.writerow([line.who, line.against, item.id, region, *row])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.getvalue())


def splits_of(dataset: str, split: str) -> list[str]:
    """The splits that are scored: the test of a known dataset, unless `all`; all of a folder."""
    return [TEST] if split == "test" and dataset in NAMES else list(SPLITS)


def labelled_items(dataset: str, split: str) -> list[Item]:
    """The images of a dataset. Raises DataError when one has no reference or its masks differ in
    size from its FOV."""
    from vesselforge.data.layouts.check import check

    found = named_dataset(dataset)
    if found.whole:
        raise DataError(f"{dataset}: found images without masks, expected images/ beside masks/")
    splits = splits_of(dataset, split)
    check(found, splits).raise_first()
    items = [item for item in found if item.split in splits]
    for item in items:
        if not item.masks:
            raise DataError(
                f"{dataset}: image {item.id!r} has no manual segmentation, so nothing can be "
                "scored; DRIVE's official test package has none"
            )
    if not items:
        raise DataError(f"{dataset}: no images in {', '.join(splits)}")
    return items


def _common_observers(items: Sequence[Item]) -> list[str]:
    """Observers who segmented every image, the reference first."""
    return [name for name in items[0].masks if all(name in item.masks for item in items)]


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
        matching = [path for path in files if word.search(stem_of(path))]
        exact = [path for path in matching if stem_of(path) == item.id]
        matching = exact if len(exact) == 1 else matching
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
    DataError for colour and for another size."""
    pixels = read_picture(path, upright=False).pixels
    if pixels.shape[2] == 3 and not (np.ptp(pixels, axis=2)).any():
        pixels = pixels[..., :1]  # grey that was saved as colour
    if pixels.shape[2] != 1:
        raise DataError(f"{path}: found a colour image, expected a grey map or a mask")
    if pixels.shape[:2] != shape:
        raise DataError(
            f"{path}: found {pixels.shape[1]}×{pixels.shape[0]} pixels, expected "
            f"{shape[1]}×{shape[0]}, the size of the image: score at its own resolution"
        )
    grey = pixels[..., 0]
    if grey.dtype == np.uint8 and is_binary(grey):
        return binarise(grey).astype(np.float32)
    return grey.astype(np.float32) / np.float32(np.iinfo(grey.dtype).max)
