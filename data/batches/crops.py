"""Training batches: random crops inside the field of view, a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.augment import augment, margin
from vesselforge.data.batches.batch import Batch, joined, of_images
from vesselforge.data.imageset import LoadedImage


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
