"""Training batches from a pool: every whole image in thirteen variants, shuffled anew each epoch.

The offline augmentation of SA-UNet and its kin, a pure function of (seed, step).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.data.imageset import WEIGHT_LAYER, LoadedImage, byte_layers

Layers = NDArray[np.uint8]
"""[5 or 6, H, W]: what `data.imageset.byte_layers` gives."""

ROTATIONS, NOISES, COLOURS, FLIPS = range(1, 4), range(4, 7), range(7, 10), range(10, 13)
VARIANTS = 13
"""Of each image: itself, then the ranges above."""
HELD_BYTES = 2**30
"""Variants kept in memory: 0.24 GB for 16 images of DRIVE, 0.69 GB for 16 of CHASE_DB1."""


class PoolSource:
    """Batches of whole images out of a pool of `VARIANTS` per image.

    images: each with a target. pad: side of the square that all are zero-padded to; None: height
    and width of the largest, each rounded up to `multiple`. position: the image in the middle of
    it (SA-UNet; 592² leaves DRIVE 4 rows above and 13 columns on the left) or in the top left
    corner (SA-UNetv2). hold: bytes of variants to keep; those beyond are made at every use.
    An epoch is a permutation of the pool; as in Keras its last batch may be smaller.
    Raises DataError for no image or one without a target, ConfigError for one larger than `pad`.
    """

    def __init__(
        self,
        images: list[LoadedImage],
        batch: int,
        seed: int,
        pad: int | None = None,
        position: Literal["centre", "corner"] = "centre",
        multiple: int = 8,
        hold: int = HELD_BYTES,
    ) -> None:
        if not images:
            raise DataError("found no training image, expected at least one")
        self.batch, self.seed, self.position, self.hold = batch, seed, position, hold
        self.size = _common_size(images, pad, multiple)
        self._weighted = any(image.weight is not None for image in images)
        self._originals = [byte_layers(image, self._weighted) for image in images]
        self._kept: dict[int, Layers] = {}
        self._held = 0

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

    def batch_at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(images [N, 3, h, w] float32 in [0, 1], targets [N, 1, h, w] in [0, 1], fov [N, 1, h, w]
        0 or 1), zero in the padding; N ≤ batch, below it only in the last step of an epoch. Where
        an image has weights, targets [N, 2, h, w]: the weights are 1 in the padding."""
        epoch, within = divmod(step, self.steps_per_epoch)
        entries = self.order(epoch)[within * self.batch : (within + 1) * self.batch]
        canvas = np.zeros((len(entries), len(self._originals[0]), *self.size), np.uint8)
        if self._weighted:
            canvas[:, WEIGHT_LAYER] = 255
        for row, entry in zip(canvas, entries, strict=True):
            self._place(self.layers(int(entry)), row)
        values = torch.from_numpy(canvas).float().div_(255)
        return values[:, :3], values[:, 3:-1], values[:, -1:]

    def layers(self, entry: int) -> Layers:
        """[5 or 6, H, W] an entry of the pool before padding; not to be written to."""
        which, number = divmod(entry, VARIANTS)
        original = self._originals[which]
        if number == 0 or number in FLIPS:  # views, they cost neither time nor memory
            return flipped(original, number)
        if (kept := self._kept.get(entry)) is not None:
            return kept
        rng = np.random.default_rng([self.seed, 1, which, number])
        made = variant(original, number, rng)
        if self._held + made.nbytes <= self.hold:
            self._kept[entry] = made
            self._held += made.nbytes
        return made

    def _place(self, layers: Layers, canvas: Layers) -> None:
        """Write an image onto its canvas [5 or 6, h, w]."""
        height, width = layers.shape[1:]
        top = left = 0
        if self.position == "centre":
            top, left = (self.size[0] - height) // 2, (self.size[1] - width) // 2
        canvas[:, top : top + height, left : left + width] = layers


def variant(layers: Layers, number: int, rng: np.random.Generator) -> Layers:
    """One of the thirteen. Colour and noise leave the labels alone."""
    if number in ROTATIONS:
        return rotated(layers, int(rng.integers(1, 360)))
    if number in NOISES:
        return _repainted(layers, noisy(_picture(layers), rng))
    if number in COLOURS:
        return _repainted(layers, recoloured(_picture(layers), rng))
    return flipped(layers, number)


def rotated(layers: Layers, degrees: int) -> Layers:
    """Turned about the centre, anticlockwise: colours bicubic, labels nearest, so that what
    was hard stays hard. The canvas keeps its size; what enters from outside is 0, its weight 1."""
    image = Image.fromarray(_picture(layers)).rotate(degrees, Image.Resampling.BICUBIC)
    outside = [0, 255, 0] if len(layers) > 5 else [0, 0]  # target, (weight,) FOV
    rest = [
        np.asarray(Image.fromarray(one).rotate(degrees, fillcolor=fill))
        for one, fill in zip(layers[3:], outside, strict=True)
    ]
    return np.stack([*np.asarray(image).transpose(2, 0, 1), *rest])


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
    image = ImageEnhance.Color(image).enhance(_tenths(rng, 0, 30))
    image = ImageEnhance.Brightness(image).enhance(_tenths(rng, 10, 20))
    image = ImageEnhance.Contrast(image).enhance(_tenths(rng, 10, 20))
    image = ImageEnhance.Sharpness(image).enhance(_tenths(rng, 0, 30))
    return np.asarray(image)


def flipped(layers: Layers, number: int) -> Layers:
    """View: left-right, top-bottom, or both, in the order of FLIPS; of the original, itself."""
    horizontal, vertical, both = FLIPS
    if number in (horizontal, both):
        layers = layers[:, :, ::-1]
    if number in (vertical, both):
        layers = layers[:, ::-1]
    return layers


def _tenths(rng: np.random.Generator, low: int, high: int) -> float:
    """Uniform on {low, low + 1, …, high} / 10."""
    return int(rng.integers(low, high + 1)) / 10


def _picture(layers: Layers) -> NDArray[np.uint8]:
    """[H, W, 3] the colours, as Pillow wants them."""
    return np.ascontiguousarray(layers[:3].transpose(1, 2, 0))


def _repainted(layers: Layers, picture: NDArray[np.uint8]) -> Layers:
    return np.concatenate([picture.transpose(2, 0, 1), layers[3:]])


def _common_size(images: list[LoadedImage], pad: int | None, multiple: int) -> tuple[int, int]:
    """(height, width) that every image fits into."""
    tallest = max(images, key=lambda image: image.fov.shape[0])
    widest = max(images, key=lambda image: image.fov.shape[1])
    height, width = tallest.fov.shape[0], widest.fov.shape[1]
    if pad is None:
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
    if pad < max(height, width):
        name = (tallest if height >= width else widest).id
        raise ConfigError(
            f"pad: found {pad}, but image {name!r} has a side of {max(height, width)} pixels; "
            "give at least that, or leave `pad` out to pad to the largest image"
        )
    return pad, pad
