"""How prepared images are shown to the networks: whole, or as patches at native resolution.

Here pixels get the meaning that `generator.channels` asks for: RGB, grey, or RGB with the vessel
mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import (
    ImageRecord,
    load_fov,
    load_mask,
    load_picture,
    read_classes,
    read_index,
)
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.structure import window_sums
from vesselforge.generator.values import Channels, Kind, Pixels, as_channel, resized

Presentation = Literal["full", "patch"]
Places = NDArray[np.int32] | range
MIN_FOV_SHARE = 0.9
"""Least share of a patch that lies inside the field of view."""
ORDER, PLACES = 0, 1
"""Purposes of a random stream: which image comes when; where its patch lies."""
LISTED = 5
"""Images named in an error message; the others are counted."""


@dataclass(frozen=True)
class Shown:
    """An image as the networks are to see it: pixels `[H, W, C]` uint8; fov `[H, W]`, or None where
    all of it is."""

    id: str
    pixels: Pixels
    fov: NDArray[np.bool_] | None = None
    label: Sequence[float] | None = None


class Views:
    """Square `[C, R, R]` views of a set of images, drawn by (seed, step) alone.

    Images come in a new random order every epoch. `full` shows the whole image resized to R by R
    (the aspect ratio is lost and given back by `restore`); `patch` a random crop of R pixels.

    ids: of the images. channels: what the channels are. labels: `[images, c_dim]` float32, or
    None without labels.
    native_size: median (height, width) of the images. fov: where most of them have theirs.
    """

    def __init__(
        self,
        images: Iterable[Shown],
        presentation: Presentation,
        resolution: int,
        kind: Kind = "rgb",
        classes: Sequence[str] = (),
    ) -> None:
        self.presentation = presentation
        self.resolution = resolution
        self.classes = list(classes)
        self._pixels: list[Pixels] = []
        self._places: list[Places] = []
        self.ids: list[str] = []
        sizes: list[tuple[int, int]] = []
        fovs: list[NDArray[np.uint8] | None] = []  # packed: a bit a pixel
        labels: list[Sequence[float]] = []
        too_small: list[str] = []
        for image in images:  # one at a time: whole, a set may be larger than the memory
            pixels, fov = image.pixels, image.fov
            height, width, count = pixels.shape
            self.ids.append(image.id)
            sizes.append((height, width))
            labels += [] if image.label is None else [image.label]
            fovs.append(None if fov is None else np.packbits(fov))
            if presentation == "full":
                pixels, fov = resized(pixels, (resolution, resolution)), None
            elif min(height, width) < resolution:
                too_small.append(f"{image.id} ({height} x {width})")
                continue
            self._pixels.append(pixels)
            self._places.append(_places(fov, pixels.shape, resolution))
        if not sizes:
            raise DataError("no images to show to the generator; the training split is empty")
        if too_small:
            raise DataError(
                f"images have too few pixels for patches of {resolution}: {_first(too_small)}; "
                "lower generator.resolution or choose presentation: full"
            )
        self.channels = Channels(kind, count)
        self.labels = torch.tensor(labels, dtype=torch.float32) if labels else None
        heights, widths = zip(*sizes, strict=True)
        self.native_size = int(np.median(heights)), int(np.median(widths))
        self.fov = _usual_fov(fovs, sizes, self.native_size)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def c_dim(self) -> int:
        """Size of a label; 0 without labels."""
        return 0 if self.labels is None else self.labels.shape[1]

    def batch(self, n: int, seed: int, step: int) -> Pixels:
        """Return `[n, C, R, R]` uint8: images step·n, … of the endless shuffled sequence of
        `seed`."""
        rng = np.random.default_rng([seed, PLACES, step])
        views = [self.patch(i, *self.place(i, rng)) for i in self.order(step * n, n, seed)]
        return np.ascontiguousarray(np.stack(views).transpose(0, 3, 1, 2))

    def batch_labels(self, n: int, seed: int, step: int) -> Tensor | None:
        """Return `[n, c_dim]` float32: the labels of `batch(n, seed, step)`, if there are any."""
        return None if self.labels is None else self.labels[self.order(step * n, n, seed)]

    def order(self, start: int, n: int, seed: int) -> list[int]:
        """Return the images at places start, start + 1, … of the endless shuffled sequence."""
        size = len(self)
        found: list[int] = []
        for epoch in range(start // size, (start + n - 1) // size + 1):
            found += np.random.default_rng([seed, ORDER, epoch]).permutation(size).tolist()
        offset = start % size
        return found[offset : offset + n]

    def patch(self, index: int, y: int, x: int) -> Pixels:
        """Return the view `[R, R, C]` of image `index` with this upper left corner."""
        return self._pixels[index][y : y + self.resolution, x : x + self.resolution]

    def corners(self, index: int, stride: int) -> list[tuple[int, int]]:
        """Return the corners (y, x) among those that `place` draws which lie on a grid of `stride`
        pixels; the first of all when none does."""
        columns = self._pixels[index].shape[1] - self.resolution + 1
        y, x = np.divmod(np.asarray(self._places[index]), columns)
        chosen = (y % stride == 0) & (x % stride == 0)
        if not chosen.any():
            chosen[0] = True
        return list(zip(y[chosen].tolist(), x[chosen].tolist(), strict=True))

    def place(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Draw the upper left corner (y, x) of a view of image `index`, in pixels."""
        places = self._places[index]
        columns = self._pixels[index].shape[1] - self.resolution + 1
        return divmod(int(places[rng.integers(len(places))]), columns)


def load_views(
    folder: Path,
    presentation: Presentation,
    resolution: int,
    channels: Kind = "rgb",
    labels: bool = False,
    split: str = TRAIN,
) -> Views:
    """Read the training images of a prepared set, or those of another split.

    channels, labels: as the settings of the same names in GeneratorSettings. Raises DataError,
    naming the images at fault: without a mask or label, too small.
    """
    records = read_index(folder, split)
    if not records:
        raise DataError(f"{folder}: the set has no image in the split {split!r}")
    if channels == "rgb+mask" and (bare := [r.id for r in records if r.mask is None]):
        raise DataError(
            f"{folder}: images have no vessel mask, which generator.channels: rgb+mask needs: "
            f"{_first(bare)}; add the masks or choose rgb"
        )
    if labels and (bare := [r.id for r in records if r.label is None]):
        raise DataError(
            f"{folder}: images have no label, which generator.labels needs: {_first(bare)}; "
            "label them (dataset `images`: sub-folders, labels.csv or dataset.json) or set "
            "generator.labels: false"
        )
    shown = (_read_shown(folder, record, channels, labels) for record in records)
    classes = read_classes(folder) if labels else []
    return Views(shown, presentation, resolution, channels, classes)


def _read_shown(folder: Path, record: ImageRecord, kind: Kind, labelled: bool) -> Shown:
    """Read one image of a set; see `load_views`, which says beforehand what is missing."""
    picture = load_picture(folder, record)
    pixels = picture.grey()[..., None] if kind == "grey" else picture.rgb()
    if kind == "rgb+mask":
        mask = load_mask(folder, record)
        if mask.shape != pixels.shape[:2]:
            raise DataError(
                f"{folder / record.image}: its vessel mask has another size, {mask.shape}"
            )
        pixels = np.concatenate([pixels, as_channel(mask)], axis=2)
    label = record.label if labelled else None
    return Shown(record.id, pixels, load_fov(folder, record), label)


def _first(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _usual_fov(
    fovs: Sequence[NDArray[np.uint8] | None],
    sizes: Sequence[tuple[int, int]],
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Return where most images of the set have their field of view, `[H, W]` at native size."""
    height, width = size
    votes = np.zeros(size, dtype=np.int64)
    for packed, (h, w) in zip(fovs, sizes, strict=True):
        if packed is None:
            votes += 1
            continue
        picture = Image.fromarray(np.unpackbits(packed, count=h * w).reshape(h, w))
        votes += np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
    return votes * 2 > len(fovs)


def _places(fov: NDArray[np.bool_] | None, shape: Sequence[int], side: int) -> Places:
    """Return all upper left corners (flattened) whose patch is inside the field of view enough;
    where no patch is, those that are inside most."""
    height, width = shape[:2]
    if fov is None:
        return range((height - side + 1) * (width - side + 1))
    inside = window_sums(fov, (side, side))
    enough = min(int(inside.max()), round(MIN_FOV_SHARE * side * side))
    return np.flatnonzero(inside >= enough).astype(np.int32)
