"""Real and synthetic images as feature extractors are shown them: uint8 `[C, H, W]`.

Real images go through what the generator's training images went through: crops at native
resolution for `patch`; for `full`, the resizing to R by R and back that the samples went through
too, so that scores compare generators and not resampling filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import ImageRecord, load_picture, read_index
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.documents import read_object
from vesselforge.engine.progress import Progress
from vesselforge.generator.metrics.memorisation import turned, turns
from vesselforge.generator.sampling.sample_set import DESCRIPTION
from vesselforge.generator.trained import read_description
from vesselforge.generator.values import Channels, restore
from vesselforge.generator.views import Views, load_views

MOST_CROPS = 8192
"""Training crops at most in which copies are looked for."""
LEAST_STRIDE = 4
"""Pixels between them at least: a shift by 2 changes a crop less than a generator would."""
PART = 64
"""Random crops that are cut at a time."""


class Place(NamedTuple):
    """A view of a training image: which image, the upper left corner of a crop (0, 0 of a whole
    image), and which of its `turns` is meant."""

    image: int
    y: int = 0
    x: int = 0
    turned: int = 0


class Reals:
    """The real images behind the scores of one generator's samples.

    training, held_out: the training and the validation images, None when the set has none of these.
    """

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        """folder: a prepared set. description: generator.json or samples.json of the generator."""
        self.presentation = description["presentation"]
        self.resolution = int(description["resolution"])
        self.native_size = description["native_size"]
        shown = folder, self.presentation, self.resolution, description["channels"]["kind"]
        self.training = load_views(*shown)
        held_out = read_index(folder, VALIDATION)
        self.held_out = load_views(*shown, split=VALIDATION) if held_out else None

    def drawn(self, views: Views, count: int, seed: int) -> tuple[Iterator[Tensor], list[int]]:
        """Return `count` random crops, the images in turn, and which image each is of; of whole
        images every one, once."""
        if self.presentation == "full":
            every = range(len(views))
            return (self.at(views, i) for i in every), list(every)
        parts = (views.batch(PART, seed, step) for step in range(-(-count // PART)))
        crops = (torch.from_numpy(crop) for part in parts for crop in part)
        return islice(crops, count), views.order(0, count, seed)

    def at(self, views: Views, index: int, y: int = 0, x: int = 0) -> Tensor:
        """Return one view."""
        pixels = restore(views.patch(index, y, x), self.native_size)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    @cached_property
    def places(self) -> list[Place]:
        """Everywhere that copies are looked for: whole images, mirrored and turned; or crops on a
        grid of an eighth of their side; of a quarter, and so on, where that would be more than
        MOST_CROPS. Crops are not turned here, for there are fewer samples to turn."""
        views = self.training
        if self.presentation == "full":
            versions = range(len(turns(self.at(views, 0))))
            return [Place(i, turned=v) for i in range(len(views)) for v in versions]
        stride = max(LEAST_STRIDE, self.resolution // 8)
        while True:
            found = [Place(i, *yx) for i in range(len(views)) for yx in views.corners(i, stride)]
            if len(found) <= MOST_CROPS or stride >= self.resolution:
                return found
            stride *= 2

    def view(self, place: Place) -> Tensor:
        """Return the view at one of the `places`."""
        return turned(self.at(self.training, place.image, place.y, place.x), place.turned)


def described(inputs: Inputs, progress: Progress) -> dict[str, Any]:
    """Return presentation, resolution, native_size and channels of the input `samples`.

    As the set says itself (samples.json), else as the input `generator` says, which is taken for
    the one that drew them. Sets without either (phantoms, anyone's) are whole images; real ones are
    resized to the size of the first.
    """
    folder = inputs["samples"].path
    if (folder / DESCRIPTION).is_file():
        expected = "how `generator.sample` drew this set: draw it again"
        return read_object(folder / DESCRIPTION, expected, DataError)
    if "generator" in inputs:
        return read_description(inputs["generator"].path)
    height, width = load_picture(folder, sample_records(folder)[0]).pixels.shape[:2]
    progress.message(
        f"{folder.name}: no {DESCRIPTION}; real images are shown whole, {width}×{height} pixels"
    )
    return {
        "presentation": "full",
        "resolution": max(height, width),
        "native_size": [height, width],
        "channels": vars(Channels()),
    }


def sample_records(folder: Path) -> list[ImageRecord]:
    """Return the images to score: those of split `train`, so that rejected ones do not count.

    Raises DataError when there is none."""
    found = read_index(folder, TRAIN)
    if not found:
        raise DataError(
            f"{folder}: found {len(read_index(folder))} images, none of them of split {TRAIN!r}, "
            "expected samples to score; were all rejected? loosen the filters of `pseudo_label`"
        )
    return found


def sample_of(folder: Path, record: ImageRecord) -> Tensor:
    """Return one image of a set of samples."""
    return torch.from_numpy(load_picture(folder, record).rgb().transpose(2, 0, 1).copy())
