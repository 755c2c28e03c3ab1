"""From seeds to images: truncation, noise and labels, each image by its own seed. Arrays, sheets
and a dataset of them.

Pixels follow the truncation rule of samples everywhere. The published code rounds in its grids
alone, so that a sheet and the single files of the same seeds differ there by one level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vesselforge.configs.errors import ConfigError
from vesselforge.data.formats.sheets import SHEET_PIXELS, columns_of, grid_of
from vesselforge.generator.networks import Generator
from vesselforge.generator.values import Pixels, resized, restore, to_uint8

LABEL = 1
"""Purpose of a seed's random stream beside the latent: which training label."""
GRID_IMAGES = 32


def latents_of(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return `[N, z_dim]` float64, one row a seed, as published: RandomState(seed).randn."""
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(rows))


class Sampler:
    """Draws the images of seeds.

    psi: truncation. label: class number of all images. labels: `[n, c_dim]`, the label vectors of
    the training images, from which each image draws its own where `label` names none.
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
        label: int | None = None,
        labels: ArrayLike | None = None,
    ) -> None:
        self.generator = generator
        self.psi = psi
        self.device = next(generator.parameters()).device
        self._table = label_table(generator.c_dim, label, labels)

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
        rngs = (np.random.default_rng([seed, LABEL]) for seed in seeds)
        rows = self._table[[rng.integers(len(self._table)) for rng in rngs]]
        return torch.from_numpy(rows).to(self.device)

    @torch.no_grad()
    def render(self, ws: Tensor) -> Tensor:
        """Return images `[N, C, R, R]` float32 of `ws`, on the generator's device."""
        images: Tensor = self.generator.synthesis(ws, noise_mode="const")
        return images


def as_pixels(
    drawn: Tensor, kind: str, native_size: Sequence[int] | None
) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Return a drawn image `[C, R, R]` as files have it: uint8 `[H, W, 1 or 3]` at its native size,
    and its mask `[H, W]`, None where none is drawn. kind: of its channels."""
    pixels = restore(to_uint8(drawn).permute(1, 2, 0).numpy(), native_size)
    if kind != "rgb+mask":
        return pixels, None
    return pixels[..., :-1], pixels[..., -1] > 127


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


def label_table(c_dim: int, label: int | None, labels: ArrayLike | None) -> NDArray[np.float32]:
    """Return the label vectors `[n, c_dim]` from which each image draws its own.

    Raises ConfigError for a label that a generator of this c_dim cannot have, and when a
    conditional one is given neither a label nor training labels to draw from.
    """
    if c_dim == 0 and label is not None:
        raise ConfigError(
            f"label: found {label!r}, but this generator is unconditional (c_dim 0); leave it out"
        )
    if label is not None and not 0 <= label < c_dim:
        raise ConfigError(
            f"label: there is no class {label}; this generator has c_dim {c_dim}, "
            f"expected a class from 0 to {c_dim - 1}"
        )
    table = np.asarray(labels if label is None else np.eye(c_dim)[[label]], dtype=np.float32)
    if c_dim and (table.ndim != 2 or table.shape[1] != c_dim or not len(table)):
        raise ConfigError(
            f"label: none given, and this generator (c_dim {c_dim}) does not say which labels its "
            f"training images had; give a class from 0 to {c_dim - 1}"
        )
    return table


def picture_size(description: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) at which a generator's images are looked at: as high as the network
    makes them, and as wide as the shape of whole images asks."""
    side, native = int(description["resolution"]), description.get("native_size")
    return side, side if native is None else max(1, round(side * native[1] / native[0]))


def sample_grid(
    generator: Generator,
    seed: int,
    labels: ArrayLike | None = None,
    psi: float = 1.0,
) -> NDArray[np.uint8]:
    """Return a contact sheet `[H, W, 3]` of the same fixed latents at every call.

    labels: `[n, c_dim]`, label vectors of the training images; row r of the sheet shows those of
    image r. A conditional generator without them shows class r in row r.
    """
    side = generator.img_resolution
    count = max(4, min(GRID_IMAGES, (SHEET_PIXELS // side) ** 2))
    columns = columns_of(count, side)
    table = np.eye(generator.c_dim) if labels is None else np.asarray(labels)
    found = []
    for start in range(0, count, columns):
        row = range(seed + start, seed + min(start + columns, count))
        own = start // columns % max(1, len(table))
        images = Sampler(generator, psi, labels=table[own : own + 1]).draw(row)
        found.append(pictures(to_uint8(images).numpy()))
    return grid_of(np.concatenate(found), columns)


def pictures(images: Pixels, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return `[N, 3, H, W']` uint8 to look at, of views or samples `[N, C, H, W]`.

    Grey is repeated; a mask stands in grey right of its image (W' = 2·W). size: (height, width) to
    resize each plane to.
    """
    if size is not None and size != images.shape[2:]:
        fitted = [resized(image.transpose(1, 2, 0), size) for image in images]
        images = np.stack(fitted).transpose(0, 3, 1, 2)
    colours = 3 if images.shape[1] >= 3 else 1
    beside = [images[:, i : i + 1] for i in range(colours, images.shape[1])]
    planes = (images[:, :colours], *beside)
    return np.concatenate([np.broadcast_to(p, (len(p), 3, *p.shape[2:])) for p in planes], axis=3)
