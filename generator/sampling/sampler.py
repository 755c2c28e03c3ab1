"""From seeds to images: truncation, noise and labels, each image by its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.generator.networks import Generator

LABEL = 1
"""Purpose of a seed's random stream beside the latent: which training label."""


def latents_of(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return `[N, z_dim]` float64, one row a seed, as published: RandomState(seed).randn."""
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(rows))


class Sampler:
    """Draws the images of seeds.

    psi: truncation. label: class number or vector of all images. labels: `[n, c_dim]`, the label
    vectors of the training images, from which each image draws its own where `label` names none.
    Layer noise is the layers' constants. Raises ConfigError for what this generator cannot do.

    On a CPU images are made one at a time, which is as fast as a batch there: bit for bit the
    same however they are grouped. On CUDA latents, labels and noise are the same too, but
    convolutions may round differently in a batch of another size, so that a pixel that was about
    to be truncated to one level can land on its neighbour.
    """

    def __init__(
        self,
        generator: Generator,
        psi: float = 1.0,
        label: int | Sequence[float] | None = None,
        labels: ArrayLike | None = None,
    ) -> None:
        self.generator = generator
        self.psi = psi
        self.device = next(generator.parameters()).device
        self._label_of = label_chooser(generator.c_dim, label, labels)

    @torch.no_grad()
    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Return `[N, C, R, R]` float32 on the CPU, nominally in [-1, 1]."""
        size = 1 if self.device.type == "cpu" else max(1, len(seeds))
        parts = [seeds[i : i + size] for i in range(0, len(seeds), size)]
        return torch.cat([self.render(self.styles(part)).cpu() for part in parts])

    @torch.no_grad()
    def styles(self, seeds: Sequence[int]) -> Tensor:
        """Return w of every layer, `[N, num_ws, w_dim]`, truncated."""
        z = latents_of(seeds, self.generator.z_dim).to(self.device, torch.float32)
        ws: Tensor = self.generator.mapping(z, self.labels(seeds), truncation_psi=self.psi)
        return ws

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        """Return `[N, c_dim]`, or None for an unconditional generator."""
        if self.generator.c_dim == 0:
            return None
        rows = np.stack([self._label_of(seed) for seed in seeds]).astype(np.float32)
        return torch.from_numpy(rows).to(self.device)

    @torch.no_grad()
    def render(self, ws: Tensor) -> Tensor:
        """Return images `[N, C, R, R]` float32 of `ws`, on the generator's device."""
        images: Tensor = self.generator.synthesis(ws, noise_mode="const")
        return images


def label_chooser(
    c_dim: int, label: int | Sequence[float] | None, labels: ArrayLike | None
) -> Callable[[int], NDArray[np.float32]]:
    """Return the function from an image's seed to its label vector `[c_dim]`.

    Raises ConfigError for a label that a generator of this c_dim cannot have, and when a
    conditional one is given neither a label nor training labels to draw from.
    """
    if c_dim == 0 and label is not None:
        raise ConfigError(
            f"label: found {label!r}, but this generator is unconditional (c_dim 0); "
            "leave the label out"
        )
    if isinstance(label, int):
        if not 0 <= label < c_dim:
            raise ConfigError(
                f"label: there is no class {label}; this generator has c_dim {c_dim}, "
                f"expected a class from 0 to {c_dim - 1}"
            )
        label = np.eye(c_dim)[label].tolist()
    table = np.asarray([label] if label is not None else labels, dtype=np.float32)
    if c_dim and (table.ndim != 2 or table.shape[1] != c_dim or not len(table)):
        raise ConfigError(
            f"label: none given, and this generator (c_dim {c_dim}) does not say which labels its "
            f"training images had; give a class from 0 to {c_dim - 1}"
        )
    if label is not None:
        return lambda seed: table[0]
    return lambda seed: table[np.random.default_rng([seed, LABEL]).integers(len(table))]
