"""Training batches: random crops inside the field of view, a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.augment import augment, margin
from vesselforge.data.imageset import WEIGHT_LAYER, LoadedImage, byte_layers


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
        if not images:
            raise DataError("found no training image, expected at least one")
        self.crop, self.batch, self.seed, self.augment = crop, batch, seed, augment
        self.stream, self.window = stream, margin(crop, augment)
        weighted = any(image.weight is not None for image in images)
        self._layers = [_padded(image, self.window, weighted) for image in images]
        self._inside = [
            torch.from_numpy(np.flatnonzero(image.fov).astype(np.int32)) for image in images
        ]
        self._widths = [image.fov.shape[1] for image in images]

    def batch_at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(images [N, 3, c, c] float32 in [0, 1], targets [N, 1, c, c] in [0, 1], fov [N, 1, c, c]
        0 or 1). Where an image has weights, targets [N, 2, c, c]: the second channel is the weight
        of each pixel. Before augmentation every crop's centre lies inside the FOV."""
        generator = torch.Generator().manual_seed(_stream(self.seed, step, self.stream))
        windows = torch.stack([self._window(generator) for _ in range(self.batch)])
        image, target, fov = windows[:, :3], windows[:, 3:-1], windows[:, -1:]
        return augment(image, target, fov, self.augment, generator, self.crop)

    def _window(self, generator: torch.Generator) -> Tensor:
        """[5 or 6, window, window] uint8 round a random pixel of the FOV of a random image."""
        which = int(torch.randint(len(self._layers), (1,), generator=generator))
        places = self._inside[which]
        place = int(places[torch.randint(len(places), (1,), generator=generator)])
        # The padding is half a window, so a pixel's coordinate is its window's first corner.
        top, left = divmod(place, self._widths[which])
        return self._layers[which][:, top : top + self.window, left : left + self.window]


def _padded(image: LoadedImage, window: int, weighted: bool) -> Tensor:
    """[5 or 6, H + window, W + window] uint8: `byte_layers` and a border round them.

    Round a whole photograph there is nothing: zeros, of which nobody doubts that they are no
    vessel (weight 1). An image smaller than the window and without a surround is a piece of
    retina; it is mirrored, or most of a rotated crop would be black.
    """
    layers = byte_layers(image, weighted)
    if not image.fov.any():
        raise DataError(f"image {image.id!r} has an empty field of view")
    half = window // 2
    border = (half, window - half)
    piece = bool(image.fov.all()) and min(image.fov.shape) < window
    padded = np.pad(layers, ((0, 0), border, border), mode="reflect" if piece else "constant")
    if weighted and not piece:
        padded[WEIGHT_LAYER] = np.pad(layers[WEIGHT_LAYER], border, constant_values=255)
    return torch.from_numpy(padded)


def _stream(seed: int, step: int, stream: int) -> int:
    """One 63-bit number for the three; neighbouring steps have unrelated streams."""
    words = np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)
    return int(words[0]) >> 1
