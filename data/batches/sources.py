"""Training batches, each a pure function of (seed, step): random crops inside the field of view, or
a pool of whole images, the offline augmentation of SA-UNet and its kin: every image in thirteen
variants, shuffled anew each epoch.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.augment import augment, margin
from vesselforge.data.batches.batch import Batch, joined, of_images
from vesselforge.data.imageset import LoadedImage

ROTATIONS, NOISES, COLOURS, FLIPS = range(1, 4), range(4, 7), range(7, 10), range(10, 13)
VARIANTS = 13
"""Of each image: itself, then the ranges above."""
HELD_BYTES = 2**30
"""Variants kept in memory: 0.24 GB for 16 images of DRIVE, 0.69 GB for 16 of CHASE_DB1."""


class CropSource:
    """Batches of augmented crops from images held in memory as bytes.

    images: each with a target, of any sizes. crop: side in pixels. stream: sources with the same
    seed and another stream draw independently. A resumed run draws for step k what it would
    have drawn anyway. Raises DataError for no image, or one without a target or an empty FOV.
    """

    def __init__(
        self,
        images: list[LoadedImage],
        crop: int,
        batch: int,
        seed: int,
        augment: AugmentSettings,
        stream: int = 0,
    ) -> None:
        self.crop, self.batch, self.seed, self.augment = crop, batch, seed, augment
        self.stream, self.window = stream, margin(crop, augment)
        self._images = [
            (_padded(layers, image, self.window), np.flatnonzero(image.fov).astype(np.int32))
            for layers, image in zip(of_images(images), images, strict=True)
        ]

    def batch_at(self, step: int) -> Batch:
        """Squares of `crop` pixels, as floats; weights where an image has some. Before augmentation
        every crop's centre lies inside the FOV."""
        # One 63-bit number for the three; neighbouring steps have unrelated streams.
        words = np.random.SeedSequence([self.seed, step, self.stream]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0]) >> 1)
        windows = [self._window(generator) for _ in range(self.batch)]
        return augment(joined(windows, torch.stack), self.augment, generator, self.crop)

    def _window(self, generator: torch.Generator) -> Batch:
        """A square of `window` pixels, as bytes, round a random pixel of a random image's FOV."""
        padded, inside = self._images[_drawn(len(self._images), generator)]
        # The padding is half a window, so a pixel's coordinate is its window's first corner.
        place, side = int(inside[_drawn(len(inside), generator)]), self.window
        top, left = divmod(place, padded.fov.shape[-1] - side)
        return padded.each(lambda x: x[:, top : top + side, left : left + side])


def _drawn(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=generator))


def _padded(layers: Batch, image: LoadedImage, window: int) -> Batch:
    """The image, as bytes, and a border of a window's width round it.

    Round a whole photograph there is nothing. An image smaller than the window and without a
    surround is a piece of retina; it is mirrored, or most of a rotated crop would be black.
    """
    if not image.fov.any():
        raise DataError(f"image {image.id!r} has an empty field of view")
    sides = (window // 2, window - window // 2)
    if image.fov.all() and min(image.fov.shape) < window:
        borders = ((0, 0), sides, sides)
        return layers.each(lambda x: torch.from_numpy(np.pad(x.numpy(), borders, mode="reflect")))
    return layers.framed(lambda x, outside: F.pad(x, sides * 2, value=outside))


class PoolSource:
    """Batches of whole images out of a pool of `VARIANTS` per image.

    images: each with a target. pad: side of the square that all are zero-padded to; None: height
    and width of the largest, each rounded up to `multiple`. position: the image in the middle of
    it (SA-UNet; 592² leaves DRIVE 4 rows above and 13 columns on the left) or in the top left
    corner (SA-UNetv2). An epoch is a permutation of the pool; as in Keras its last batch may be
    smaller. Raises DataError for no image or one without a target, ConfigError for one larger
    than `pad`.
    """

    def __init__(
        self,
        images: list[LoadedImage],
        batch: int,
        seed: int,
        pad: int | None = None,
        position: Literal["centre", "corner"] = "centre",
        multiple: int = 8,
    ) -> None:
        self.batch, self.seed, self.position = batch, seed, position
        self._originals = of_images(images)
        self.size = _common_size(images, pad, multiple)
        largest = max(sum(x.nbytes for x in one.tensors()) for one in self._originals)
        self._most_kept = HELD_BYTES // largest
        self._kept: dict[int, Batch] = {}

    def __len__(self) -> int:
        """Entries of the pool."""
        return len(self._originals) * VARIANTS

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which the pool is seen once."""
        return math.ceil(len(self) / self.batch)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """[len(self)] the entries in the order of an epoch; entry = image · VARIANTS + variant."""
        return np.random.default_rng([self.seed, 2, epoch]).permutation(len(self))

    def batch_at(self, step: int) -> Batch:
        """Floats, zero in the padding (a weight: 1); N ≤ batch, below it only in the last step of
        an epoch. Weights where an image has some."""
        epoch, within = divmod(step, self.steps_per_epoch)
        entries = self.order(epoch)[within * self.batch : (within + 1) * self.batch]
        rows = [self._placed(self.variant(int(entry))) for entry in entries]
        return joined(rows, torch.stack).floats()

    def variant(self, entry: int) -> Batch:
        """An entry of the pool before padding, as bytes; not to be written to."""
        which, number = divmod(entry, VARIANTS)
        if number == 0 or number in FLIPS:  # made in no time
            return flipped(self._originals[which], number)
        if entry in self._kept:
            return self._kept[entry]
        rng = np.random.default_rng([self.seed, 1, which, number])
        made = changed(self._originals[which], number, rng)
        if len(self._kept) < self._most_kept:
            self._kept[entry] = made
        return made

    def _placed(self, image: Batch) -> Batch:
        """An image on its canvas."""
        below, right = (
            have - need for have, need in zip(self.size, image.fov.shape[1:], strict=True)
        )
        top, left = (below // 2, right // 2) if self.position == "centre" else (0, 0)
        sides = (left, right - left, top, below - top)
        return image.framed(lambda x, outside: F.pad(x, sides, value=outside))


def changed(image: Batch, number: int, rng: np.random.Generator) -> Batch:
    """A variant that is no mirror image. Colour and noise leave the labels alone."""
    if number in ROTATIONS:
        return rotated(image, int(rng.integers(1, 360)))
    change = noisy if number in NOISES else recoloured
    pixels = np.ascontiguousarray(image.image.numpy().transpose(1, 2, 0))  # as Pillow wants it
    return replace(image, image=torch.tensor(change(pixels, rng)).permute(2, 0, 1))


def rotated(image: Batch, degrees: int) -> Batch:
    """Turned about the centre, anticlockwise: colours bicubic, labels nearest, so that what
    was hard stays hard. The canvas keeps its size; what enters from outside is 0, its weight 1."""

    def turned(planes: Tensor, outside: int) -> Tensor:
        how = Image.Resampling.BICUBIC if len(planes) == 3 else Image.Resampling.NEAREST
        pictures = [Image.fromarray(plane) for plane in planes.numpy()]
        turned = [np.asarray(one.rotate(degrees, how, fillcolor=outside)) for one in pictures]
        return torch.from_numpy(np.stack(turned))

    return image.framed(turned)


def noisy(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W, 3] with N(0.2, 0.3) grey levels added to every value, cut to a whole number.

    74 % of the values stay, 25 % lose one grey level, 0.4 % gain one: nearly a plain copy, as in
    the papers' scripts, whose unit was [0, 1] by intention. There 255 could wrap to 0, which no
    camera does; here it saturates.
    """
    values = picture + (0.2 + 0.3 * rng.standard_normal(picture.shape, np.float32))
    return values.clip(0, 255).astype(np.uint8)


def recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W, 3] with saturation × {0, 0.1, …, 3}, brightness and contrast × {1, 1.1, …, 2},
    sharpness × {0, 0.1, …, 3}, in this order."""
    image = Image.fromarray(picture)
    for enhance, low, high in (
        (ImageEnhance.Color, 0, 30),
        (ImageEnhance.Brightness, 10, 20),
        (ImageEnhance.Contrast, 10, 20),
        (ImageEnhance.Sharpness, 0, 30),
    ):
        image = enhance(image).enhance(int(rng.integers(low, high + 1)) / 10)
    return np.asarray(image)


def flipped(image: Batch, number: int) -> Batch:
    """Left-right, top-bottom, or both, in the order of FLIPS; of the original, itself."""
    axes = dict(zip(FLIPS, ((-1,), (-2,), (-1, -2)), strict=True)).get(number)
    return image.each(lambda x: x.flip(axes)) if axes else image


def _common_size(images: list[LoadedImage], pad: int | None, multiple: int) -> tuple[int, int]:
    """(height, width) that every image fits into."""
    if pad is None:
        height, width = (max(image.fov.shape[axis] for image in images) for axis in (0, 1))
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
    largest = max(images, key=lambda image: max(image.fov.shape))
    if pad < (side := max(largest.fov.shape)):
        raise ConfigError(
            f"pad: found {pad}, but image {largest.id!r} has a side of {side} pixels; give at "
            "least that, or leave `pad` out to pad to the largest image"
        )
    return pad, pad
