"""From seeds to images: truncation, style mixing, noise and labels, each image by its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import SampleSettings
from vesselforge.generator.networks import Generator
from vesselforge.generator.values import to_uint8

NOISE, LABEL = 0, 1
"""Purposes of a seed's random stream beside the latent: layer noise; which training label."""


def latents(first_seed: int, count: int, z_dim: int) -> Tensor:
    """Return `[count, z_dim]` float64: row i depends on first_seed + i alone, as published."""
    return latents_of(range(first_seed, first_seed + count), z_dim)


def latents_of(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return `[N, z_dim]` float64, one row a seed: RandomState(seed).randn(1, z_dim)."""
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(rows))


class Sampler:
    """Draws the images of seeds as the settings say.

    Of SampleSettings it honours psi, cutoff, noise, label, mix_with, mix_layers and precision.
    labels: `[n, c_dim]`, the label vectors of the training images, from which each image draws
    its own when the settings name none. Raises ConfigError for what this generator cannot do.

    On a CPU images are made one at a time, which is as fast as a batch there: bit for bit the
    same however they are grouped. On CUDA latents, labels and noise are the same too, but
    convolutions may round differently in a batch of another size, so that a pixel that was about
    to be truncated to one level can land on its neighbour.
    """

    def __init__(
        self, generator: Generator, settings: SampleSettings, labels: ArrayLike | None = None
    ) -> None:
        self.generator = generator
        self.settings = settings
        self.device = next(generator.parameters()).device
        self._label_of = label_chooser(generator.c_dim, settings.label, labels)
        _check_layers(settings, generator.num_ws)

    @torch.no_grad()
    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Return `[N, C, R, R]` float32 on the CPU, nominally in [-1, 1]."""
        size = 1 if self.device.type == "cpu" else max(1, len(seeds))
        parts = [seeds[i : i + size] for i in range(0, len(seeds), size)]
        return torch.cat([self.render(self.styles(part), part).cpu() for part in parts])

    def styles(self, seeds: Sequence[int]) -> Tensor:
        """Return w of every layer, `[N, num_ws, w_dim]`: truncated, then mixed."""
        return self.styles_of(latents_of(seeds, self.generator.z_dim), self.labels(seeds))

    @torch.no_grad()
    def styles_of(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Return `styles` of given latents `[N, z_dim]` and label vectors `[N, c_dim]`."""
        cfg = self.settings
        ws = self._map(z, c)
        if cfg.mix_with is None:
            return ws
        first, last = cfg.mix_layers
        other = latents_of([cfg.mix_with], self.generator.z_dim).expand(len(z), -1)
        theirs = self._map(other, c)  # truncated like the image's own
        return torch.cat([ws[:, :first], theirs[:, first : last + 1], ws[:, last + 1 :]], dim=1)

    def _map(self, z: Tensor, c: Tensor | None) -> Tensor:
        cfg = self.settings
        ws: Tensor = self.generator.mapping(
            z.to(self.device, torch.float32),
            c,
            truncation_psi=cfg.psi,
            truncation_cutoff=cfg.cutoff,
        )
        return ws

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        """Return `[N, c_dim]`, or None for an unconditional generator."""
        if self.generator.c_dim == 0:
            return None
        rows = np.stack([self._label_of(seed) for seed in seeds]).astype(np.float32)
        return torch.from_numpy(rows).to(self.device)

    @torch.no_grad()
    def render(self, ws: Tensor, noise_seeds: Sequence[int] | None = None) -> Tensor:
        """Return images `[N, C, R, R]` float32 of `ws`, on the generator's device.

        noise_seeds: one a sample, for noise random.
        """
        cfg = self.settings
        options: dict[str, Any] = {"noise_mode": cfg.noise}
        if cfg.noise == "random":
            assert noise_seeds is not None and len(noise_seeds) == len(ws)
            options["randn"] = noise_of(noise_seeds)
        dtype = torch.bfloat16 if cfg.precision == "bfloat16" else None
        images: Tensor = self.generator.synthesis(ws, dtype=dtype, **options)
        return images


def noise_of(seeds: Sequence[int]) -> Callable[[Sequence[int], torch.device], Tensor]:
    """Return a source of layer noise in which every sample has its own stream.

    Drawn by NumPy on the CPU, so the noise of a seed is the same on every device.
    """
    streams = [np.random.default_rng([seed, NOISE]) for seed in seeds]

    def randn(shape: Sequence[int], device: torch.device) -> Tensor:
        assert shape[0] == len(streams)
        rows = [stream.standard_normal(tuple(shape[1:]), dtype=np.float32) for stream in streams]
        return torch.from_numpy(np.stack(rows)).to(device)

    return randn


def label_chooser(
    c_dim: int, label: int | list[float] | None, labels: ArrayLike | None
) -> Callable[[int], NDArray[np.float32]]:
    """Return the function from an image's seed to its label vector `[c_dim]`.

    Raises ConfigError for a label that a generator of this c_dim cannot have, and when a
    conditional one is given neither a label nor training labels to draw from.
    """
    if c_dim == 0:
        if label is not None:
            raise ConfigError(
                f"label: found {label!r}, but this generator is unconditional (c_dim 0); "
                "leave the label out"
            )
        return lambda seed: np.zeros(0, np.float32)
    if label is not None:
        chosen = label_vector(c_dim, label)
        return lambda seed: chosen
    if labels is None:
        raise ConfigError(
            f"label: none given, and this generator (c_dim {c_dim}) does not say which labels its "
            f"training images had; give a class from 0 to {c_dim - 1} or a vector of {c_dim} values"
        )
    table = np.asarray(labels, dtype=np.float32)
    if table.ndim != 2 or table.shape[1] != c_dim or not len(table):
        raise ConfigError(
            f"labels of the generator's description: found an array of shape {list(table.shape)}, "
            f"expected [images, {c_dim}]; give a label instead"
        )
    return lambda seed: table[np.random.default_rng([seed, LABEL]).integers(len(table))]


def label_vector(c_dim: int, label: int | list[float]) -> NDArray[np.float32]:
    """Return `[c_dim]`: a class number as one-hot, a vector as it is. Raises ConfigError."""
    if isinstance(label, int):
        if not 0 <= label < c_dim:
            raise ConfigError(
                f"label: there is no class {label}; this generator has c_dim {c_dim}, "
                f"expected a class from 0 to {c_dim - 1}"
            )
        return np.eye(c_dim, dtype=np.float32)[label]
    if len(label) != c_dim:
        raise ConfigError(
            f"label: found a vector of {len(label)} values, but this generator has c_dim {c_dim}; "
            f"expected {c_dim} values"
        )
    return np.asarray(label, dtype=np.float32)


def _check_layers(settings: SampleSettings, num_ws: int) -> None:
    if settings.cutoff is not None and settings.cutoff > num_ws:
        raise ConfigError(
            f"cutoff: found {settings.cutoff}, but this generator has {num_ws} layers; "
            f"expected at most {num_ws}"
        )
    first, last = settings.mix_layers
    if settings.mix_with is not None and last >= num_ws:
        raise ConfigError(
            f"mix_layers: found {first} to {last}, but this generator has layers 0 to "
            f"{num_ws - 1}; coarse ones come first"
        )


def generate(generator: Generator, z: Tensor, psi: float = 1.0) -> NDArray[np.uint8]:
    """Return `[N, R, R, 3]` uint8 of given latents of an unconditional generator, noise const.

    One channel is repeated, further ones than three are left out. On a CPU one image at a time.
    """
    sampler = Sampler(generator, SampleSettings(psi=psi))
    parts = z.split(1 if sampler.device.type == "cpu" else max(1, len(z)))
    images = torch.cat([sampler.render(sampler.styles_of(part, None)) for part in parts])
    pixels = to_uint8(images).cpu().permute(0, 2, 3, 1).numpy()
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels[..., :3]
