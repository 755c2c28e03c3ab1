"""What a dataset is: a list of items, each an image with its masks and field of view."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import (
    Picture,
    composed,
    open_file,
    open_picture,
    orientation_of,
    read_picture,
)
from vesselforge.data.formats.masks import Drawing, read_drawing
from vesselforge.data.fov import derive_fov
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.layouts.splits import SPLITS
from vesselforge.data.phantoms.draw import Phantom, make_phantom


@dataclass(frozen=True)
class Problem:
    """What is wrong with a dataset. severity: an error stops the pipeline. file: the path (and
    line, of a text file). id: of the image that it is about (or a file's name without an id)."""

    severity: Literal["error", "warning"]
    file: str
    sentence: str
    id: str | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.sentence}"


@dataclass(frozen=True)
class Item:
    """One image. masks: observer → file, the reference first. fov: None when the set has none.

    whole: an image for the generator alone, without masks, all of it field of view; label: its
    one-hot class or vector. mask_values: what the masks' values mean, see `DataSettings`.
    """

    id: str
    split: str
    image: Path
    masks: Mapping[str, Path] = field(default_factory=dict)
    fov: Path | None = None
    whole: bool = False
    label: tuple[float, ...] | None = None
    mask_values: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """Role → file, of every file that the item is made of."""
        found = {"image": self.image} | {f"mask {name}": p for name, p in self.masks.items()}
        return found | ({"fov": self.fov} if self.fov else {})

    def read_picture(self) -> Picture:
        """The file at its own depth. Raises DataError, as the other readers do."""
        return read_picture(self.image)

    def extent(self) -> tuple[int, int] | None:
        """(height, width) as the file's header says, which may be turned; None where it says
        nothing, and the reader will say why."""
        try:
            with open_file(self.image) as stream, open_picture(stream) as picture:
                return picture.height, picture.width
        except Exception:  # on damaged files decoders raise almost any exception
            return None

    def read_image(self) -> NDArray[np.uint8]:
        """[H, W, 3] uint8."""
        return self.read_picture().rgb()

    def read_drawing(self, observer: str) -> Drawing:
        """What an observer's mask says. Raises DataError for one that there is not."""
        return read_drawing(self._mask_of(observer), self.mask_values)

    def _mask_of(self, observer: str) -> Path:
        if observer in self.masks:
            return self.masks[observer]
        known = ", ".join(self.masks) or "none: it has no mask"
        raise DataError(f"observer of {self.id!r}: found {observer!r}, expected {known}")

    def read_mask(self, observer: str) -> NDArray[np.bool_]:
        """[H, W] bool: vessel."""
        return self.read_drawing(observer).vessel

    def read_ignored(self) -> NDArray[np.bool_] | None:
        """[H, W] bool: pixels that some observer left open; None without any."""
        if "ignore" not in self.mask_values.values():
            return None
        found = [self.read_drawing(observer).ignored for observer in self.masks]
        left = [ignored for ignored in found if ignored is not None]
        return np.asarray(np.logical_or.reduce(left)) if left else None

    def read_fov(self, image: NDArray[np.uint8] | None = None) -> NDArray[np.bool_]:
        """[H, W] bool, derived from brightness where the set has no file. image: if at hand."""
        if self.fov is not None:
            return read_drawing(self.fov).vessel
        image = self.read_image() if image is None else image
        return np.ones(image.shape[:2], dtype=bool) if self.whole else derive_fov(image)

    def fov_turn(self) -> int:
        """The EXIF orientation by which the FOV's file is turned; 1 without a file."""
        return 1 if self.fov is None else orientation_of(self.fov)

    def loaded(self) -> LoadedImage:
        """Image, field of view and the reference, if there is one, in memory."""
        image = self.read_image()
        observer = next(iter(self.masks), None)
        target = None if observer is None else self.read_mask(observer).astype(np.uint8) * 255
        loaded = LoadedImage(self.id, image, target, self.read_fov(image), {})
        return loaded.without(self.read_ignored())


@dataclass(frozen=True)
class PhantomItem(Item):
    """An image made when it is read; its paths are names only."""

    seed: int = 0
    size: int = 192

    def files(self) -> dict[str, Path]:
        return {}

    def read_picture(self) -> Picture:
        return Picture(_phantom(self.seed, self.size).image)

    def extent(self) -> tuple[int, int]:
        return self.size, self.size

    def fov_turn(self) -> int:
        return 1

    def read_drawing(self, observer: str) -> Drawing:
        self._mask_of(observer)
        return Drawing(_phantom(self.seed, self.size).mask)

    def read_fov(self, image: NDArray[np.uint8] | None = None) -> NDArray[np.bool_]:
        return _phantom(self.seed, self.size).fov


@lru_cache(maxsize=32)
def _phantom(seed: int, size: int) -> Phantom:
    """Checking and writing a set read each image in turn: make it once."""
    return make_phantom(seed, size)


@dataclass(frozen=True)
class Dataset:
    """A named list of items. root: None when there are no files (phantom).

    unlabelled_test: the test split may lack reference masks (the official DRIVE package does).
    classes: names of the classes where labels are one-hot. problems: what was found while files
    became items, for `data.layouts.check` to report with the rest; of those with an id, files could
    not become an item, or not for certain.
    """

    name: str
    root: Path | None
    items: tuple[Item, ...]
    unlabelled_test: bool = False
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def whole(self) -> bool:
        """True for images without masks, for the generator alone."""
        return bool(self.items) and all(item.whole for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Item:
        return self.items[place]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def without(self, ids: Collection[str]) -> Dataset:
        """The dataset without what these identifiers name."""
        ids = {*ids, *map(composed, ids)}
        items = tuple(item for item in self.items if item.id not in ids)
        problems = tuple(problem for problem in self.problems if problem.id not in ids)
        return replace(self, items=items, problems=problems)

    def split(self, name: str) -> list[Item]:
        """The items of `train`, `validation` or `test`. Raises DataError for anything else."""
        if name not in SPLITS:
            raise DataError(f"split: found {name!r}, expected {', '.join(SPLITS)}")
        return [item for item in self.items if item.split == name]
