"""How prepared images are shown to the networks: whole, or as patches at native resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from configs.errors import DataError
from data.imageset import LoadedImage, load_image, read_index
from data.splits import TRAIN

Presentation = Literal["full", "patch"]
MIN_FOV_SHARE = 0.9
"""Least share of a patch that lies inside the field of view."""
ORDER, PLACES = 0, 1
"""Purposes of a random stream: which image comes when; where its patch lies."""


class Views:
    """Square `[3, R, R]` uint8 views of a set of images, drawn by (seed, step) alone.

    Images come in a new random order every epoch. `full` shows the whole image resized to R by R
    (the aspect ratio is lost and given back by `restore`); `patch` a random crop of R pixels.
    """

    def __init__(
        self, images: Sequence[LoadedImage], presentation: Presentation, resolution: int
    ) -> None:
        if not images:
            raise DataError("no images to show to the generator; the training split is empty")
        self.presentation = presentation
        self.resolution = resolution
        heights, widths = zip(*(image.image.shape[:2] for image in images), strict=True)
        self.native_size = int(np.median(heights)), int(np.median(widths))  # height, width
        self.fov = _usual_fov(images, self.native_size)
        if presentation == "full":
            self._pixels = [_square(image.image, resolution) for image in images]
            return
        self._pixels = [image.image for image in images]
        self._places = [_places(image, resolution) for image in images]

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, n: int, seed: int, step: int) -> NDArray[np.uint8]:
        """Return `[n, 3, R, R]`: images step·n, … of the endless shuffled sequence of `seed`."""
        rng = np.random.default_rng([seed, PLACES, step])
        views = [self._view(i, rng) for i in self._order(step * n, n, seed)]
        return np.ascontiguousarray(np.stack(views).transpose(0, 3, 1, 2))

    def _order(self, start: int, n: int, seed: int) -> list[int]:
        size = len(self)
        found: list[int] = []
        for epoch in range(start // size, (start + n - 1) // size + 1):
            found += np.random.default_rng([seed, ORDER, epoch]).permutation(size).tolist()
        offset = start % size
        return found[offset : offset + n]

    def _view(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        pixels = self._pixels[index]
        if self.presentation == "full":
            return pixels
        y, x = self.place(index, rng)
        return pixels[y : y + self.resolution, x : x + self.resolution]

    def place(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Draw the upper left corner (y, x) of a patch of image `index`, in pixels."""
        places = self._places[index]
        columns = self._pixels[index].shape[1] - self.resolution + 1
        y, x = divmod(int(places[rng.integers(places.size)]), columns)
        return y, x


def load_views(folder: Path, presentation: Presentation, resolution: int) -> Views:
    """Read the training images of a prepared set. Raises DataError, naming the image at fault."""
    images = [load_image(folder, record) for record in read_index(folder, TRAIN)]
    if not images:
        raise DataError(f"{folder}: the set has no image in the split {TRAIN!r}")
    return Views(images, presentation, resolution)


def to_network(views: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Map uint8 to float32 in [-1, 1]."""
    pixels = torch.from_numpy(views)
    if device.type == "cuda":
        pixels = pixels.pin_memory().to(device, non_blocking=True)
    return pixels.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map [-1, 1] to uint8 by truncation, the published rule for samples and metrics."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def restore(image: NDArray[np.uint8], native_size: Sequence[int] | None) -> NDArray[np.uint8]:
    """Resize a generated `[R, R, 3]` image of `full` presentation to the (height, width) of the
    originals, so that vessels are as wide as the segmenter knows them; None leaves it alone."""
    if native_size is None or tuple(native_size) == image.shape[:2]:
        return image
    height, width = native_size
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _square(image: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Resize with antialiasing (Lanczos)."""
    size = (resolution, resolution)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _usual_fov(images: Sequence[LoadedImage], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where most images of the set have their field of view, `[H, W]` at native size."""
    height, width = size
    votes = np.zeros(size, dtype=np.int64)
    for image in images:
        picture = Image.fromarray(image.fov.astype(np.uint8))
        votes += np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
    return votes * 2 > len(images)


def _places(image: LoadedImage, side: int) -> NDArray[np.int32]:
    """Return all upper left corners (flattened) whose patch is inside the field of view enough.

    Where no patch is, those that are inside most.
    """
    height, width = image.fov.shape
    if min(height, width) < side:
        raise DataError(
            f"image {image.id} has {width} x {height} pixels, too few for patches of {side}: "
            "lower generator.resolution or choose presentation: full"
        )
    table = np.zeros((height + 1, width + 1), dtype=np.int64)  # summed areas: any sum in 4 look-ups
    table[1:, 1:] = image.fov.cumsum(0, dtype=np.int64).cumsum(1)
    inside = table[side:, side:] - table[:-side, side:] - table[side:, :-side]
    inside = inside + table[:-side, :-side]
    enough = min(int(inside.max()), round(MIN_FOV_SHARE * side * side))
    return np.flatnonzero(inside >= enough).astype(np.int32)
