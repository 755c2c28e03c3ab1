"""fid50k_full and kid50k_full: a generator's own draws against all of its training images.

As published: G_ema without truncation, random layer noise, labels drawn from the training set,
uint8 by truncation; every training image once, at the network's resolution. Unlike the published
ones these are seeded. `patch` has no such thing as all crops: as many random ones are drawn as
fakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.metrics.distances import fid, kid_published
from vesselforge.generator.metrics.extractors import device_of
from vesselforge.generator.metrics.features import FeatureCache, extract
from vesselforge.generator.metrics.reals import Reals, shown
from vesselforge.generator.models import load_generator
from vesselforge.generator.sampling.draw import Sampler
from vesselforge.generator.sampling.grids import channels_of
from vesselforge.generator.values import to_uint8

COUNT = 50_000
PART = 1000
"""Fakes between two files of features, from which an interrupted scoring goes on."""
BATCH = 32


def published(
    folder: Path,
    real: Tensor,
    extractor: nn.Module,
    count: int,
    seed: int,
    scratch: Path,
    progress: Progress,
) -> dict[str, float]:
    """Return FID and KID of the generator of a generator.train folder by the published definition.

    real: features of the real images (`real_features`). count: fakes, published with 50,000 (the
    names of the figures say how many). scratch: where features of fakes are kept meanwhile.
    50,000 rows of 2048 float32 features are 400 MB.
    """
    fake = fake_features(folder, extractor, count, seed, scratch, progress)
    name = f"{count // 1000}k_full" if count % 1000 == 0 else f"{count}_full"
    mean, deviation = kid_published(real, fake, seed)
    return {
        f"fid{name}": fid(real, fake),
        f"kid{name}": mean,
        f"kid{name}_std": deviation,
        f"real{name}": len(real),
    }


def real_images(reals: Reals, count: int, seed: int) -> Iterator[Tensor]:
    """Yield every training image at the network's resolution, or `count` random crops."""
    if reals.presentation == "patch":
        yield from reals.drawn(reals.training, count, seed)
        return
    for i in range(len(reals.training)):
        pixels = reals.training.patch(i, 0, 0).transpose(2, 0, 1)[None]
        yield shown(pixels, reals.channels)[0]


def fake_features(
    folder: Path, extractor: nn.Module, count: int, seed: int, scratch: Path, progress: Progress
) -> Tensor:
    """Return features `[count, D]` of images drawn from the seeds seed, seed + 1, …"""
    generator, description = load_generator(folder)
    settings = SampleSettings(psi=1.0, noise="random")
    sampler = Sampler(generator.to(device_of(extractor)), settings, description.get("labels"))
    channels, cache, found = channels_of(description), FeatureCache(scratch), []

    def draw(start: int, end: int) -> Iterator[Tensor]:
        for i in range(start, end, BATCH):
            if progress.stop_requested:
                raise Interrupted(f"generator.score stopped after {start} of {count} draws")
            part = range(seed + i, seed + min(i + BATCH, end))
            yield from shown(to_uint8(sampler.draw(part)).numpy(), channels).unbind()
            progress.update(i, count, "draws")

    for start in range(0, count, PART):
        span = start, min(start + PART, count)

        def made(span: tuple[int, int] = span) -> Tensor:
            return extract(draw(*span), extractor, BATCH)

        found.append(cache.get({"seed": seed, "draws": span}, made))
    return torch.cat(found)
