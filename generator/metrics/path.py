"""Perceptual path length: how much images change along a short step in the latent space.

ppl2_wend (Karras et al. 2020, section 3): w on the segment between two mapped latents, at its
start and 0.0001 further along; distance between the two images, divided by the squared step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vesselforge.generator.metrics.extractors import three_channels
from vesselforge.generator.metrics.torchscript import load_script, unusable
from vesselforge.generator.networks import Generator
from vesselforge.generator.sampling.sampler import Sampler, latents_of

EPSILON = 1e-4
LARGEST = 256
"""Larger images are averaged down to this side, at which the distance was calibrated."""
Embedding = Callable[[Tensor], Tensor]
"""Maps float images `[N, 3, H, W]`, nominally 0 … 255, to `[N, D]`; the distance of two images is
the squared Euclidean distance of their rows."""


def load_lpips(path: Path, device: str | torch.device = "cpu") -> Embedding:
    """Read the official vgg16.pt, whose embedding makes squared distances LPIPS.

    Raises CheckpointError when it is not that file. See `load_script` on what such a file can do.
    """
    expected = "expected the TorchScript file vgg16.pt of the official StyleGAN2-ADA metrics"
    network = load_script(path, expected).to(device)

    def embed(images: Tensor) -> Tensor:
        found: Tensor = network(images, resize_images=False, return_lpips=True)
        return found.flatten(1)

    try:
        with torch.no_grad():
            found = embed(torch.zeros(1, 3, 64, 64, device=device))
        if len(found) != 1:
            raise ValueError("it does not return one row per image")
    except (RuntimeError, ValueError, TypeError) as error:
        raise unusable(path, error, expected) from error
    return embed


@torch.no_grad()
def path_distances(
    generator: Generator,
    embed: Embedding,
    pairs: int,
    seed: int,
    labels: ArrayLike | None = None,
    batch: int = 8,
) -> NDArray[np.float64]:
    """Return `[pairs]`: squared distance over squared step, for each pair of latents.

    Pair i follows from seed + 2i and seed + 2i + 1: two latents, the label of the first, and layer
    noise that both ends share. No truncation, float32.
    """
    sampler = Sampler(generator, labels=labels, random_noise=True)
    size = 1 if sampler.device.type == "cpu" else batch
    found = []
    for start in range(0, pairs, size):
        first = [seed + 2 * i for i in range(start, min(start + size, pairs))]
        found.append(_distances(sampler, embed, first))
    return torch.cat(found).double().cpu().numpy()


def _distances(sampler: Sampler, embed: Embedding, seeds: Sequence[int]) -> Tensor:
    """Return the distances of the pairs (seed, seed + 1), `[N]`."""
    labels, z_dim = sampler.labels(seeds), sampler.generator.z_dim
    start, end = (
        sampler.styles_of(latents_of(side, z_dim), labels)
        for side in (seeds, [seed + 1 for seed in seeds])
    )
    ends = (sampler.render(w, seeds) for w in (start, torch.lerp(start, end, EPSILON)))
    a, b = (embed(_shown(images)) for images in ends)
    return (a - b).square().sum(dim=1) / EPSILON**2


def _shown(images: Tensor) -> Tensor:
    """Map `[-1, 1]` to 0 … 255 (float, three channels), at most `LARGEST` pixels wide."""
    images = three_channels(images)
    factor = images.shape[-1] // LARGEST
    if factor > 1:
        images = F.avg_pool2d(images, factor)
    return (images + 1) * 127.5


def trimmed_mean(values: ArrayLike) -> float:
    """Return the mean of the values from the 1st to the 99th percentile, both included."""
    values = np.asarray(values, dtype=np.float64)
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return float(values[(values >= low) & (values <= high)].mean())
