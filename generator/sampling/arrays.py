"""Images of chosen seeds in memory: as arrays, and as a dataset of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vesselforge.configs.errors import ConfigError
from vesselforge.generator.sampling.sampler import Sampler, as_pixels


class Drawn(NamedTuple):
    """Images of N seeds. images [N, H, W, C] uint8, C 3 for RGB or 1 for grey; masks [N, H, W]
    bool, vessel, or None where the generator draws none."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None


def draw_arrays(
    sampler: Sampler, description: Mapping[str, Any], seeds: Sequence[int], batch: int = 16
) -> Drawn:
    """Draw the images of these seeds, at least one, as files of them have them. description: of the
    generator. batch: images a forward pass on a GPU."""
    kind, size = description["channels"]["kind"], description["native_size"]
    parts = (sampler.draw(seeds[i : i + batch]) for i in range(0, len(seeds), batch))
    images, masks = zip(*(as_pixels(x, kind, size) for part in parts for x in part), strict=True)
    return Drawn(np.stack(images), None if masks[0] is None else np.stack(masks))


class DrawnPairs(Dataset[tuple[Tensor, Tensor]]):
    """Image and vessel mask of each seed, drawn when they are asked for: float32 [3, H, W] in
    [0, 1] and [1, H, W] of 0 and 1. The same seed is the same pair each time.

    Raises ConfigError for a generator that draws no masks.
    """

    def __init__(
        self, sampler: Sampler, description: Mapping[str, Any], seeds: Sequence[int]
    ) -> None:
        kind = description["channels"]["kind"]
        if kind != "rgb+mask":
            raise ConfigError(
                f"this generator draws {kind}, and pairs need masks (rgb+mask); draw images alone, "
                "and label them with a segmenter"
            )
        self.sampler, self.description, self.seeds = sampler, description, seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        (image,), masks = draw_arrays(self.sampler, self.description, [self.seeds[index]])
        pair = torch.from_numpy(image).permute(2, 0, 1).float() / 255, torch.from_numpy(masks)
        return pair[0], pair[1].float()
