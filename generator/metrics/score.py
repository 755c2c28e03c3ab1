"""FID and KID: how far generated images are from real ones, as some network sees them.

The feature network is the caller's: the official Inception file (`load_inception`) or any module
that maps uint8 images `[N, 3, H, W]` to features `[N, num_features]`. With a few dozen images
FID is mostly bias; KID has none, and comes with an error bar and a floor.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from configs.errors import DataError
from configs.settings import ScoreSettings
from data.imageset import load_image, read_index
from data.splits import TRAIN
from generator.metrics.extractors import device_of, three_channels
from generator.sampling import DESCRIPTION
from generator.views import load_views, restore


@torch.no_grad()
def extract(images: Iterable[Tensor], extractor: nn.Module, batch: int = 16) -> Tensor:
    """Return float64 features `[N, D]` of uint8 images `[C, H, W]`; see `three_channels`."""
    device = device_of(extractor)
    found: list[Tensor] = []
    group: list[Tensor] = []

    def flush() -> None:
        if group:
            found.append(extractor(torch.stack(group).to(device)).flatten(1).double().cpu())
            group.clear()

    for image in images:
        if image.dtype != torch.uint8:
            raise TypeError(f"feature extractors take uint8 images, not {image.dtype}")
        if group and (group[-1].shape[1:] != image.shape[1:] or len(group) == batch):
            flush()
        group.append(three_channels(image))
    flush()
    if not found:
        raise DataError("no images to score")
    return torch.cat(found)


class _Given(nn.Module):
    """Hands finished features to torchmetrics, which would compute them once per metric."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of two feature sets `[N, D]`, covariances with 1/N as published.

    torchmetrics divides by N - 1, which at 64 images is 1.6 % of the covariance: scaling the
    features about their mean by √((N - 1)/N) beforehand undoes that exactly.
    """
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.set_dtype(torch.float64)
    for features, is_real in ((real, True), (fake, False)):
        n, mean = len(features), features.double().mean(dim=0)
        shrunk = mean + (features.double() - mean) * ((n - 1) / n) ** 0.5
        metric.update(shrunk, real=is_real)
    return float(metric.compute())


def kid(
    real: Tensor, fake: Tensor, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Return mean and standard deviation of KID over `subsets` random subsets.

    A subset is at most half of the smaller set, or resampling would find no variation at all.
    torchmetrics draws from the global random stream; here it is the seed's own, put back after.
    """
    size = subset_of(subset_size, len(real), len(fake))
    with warnings.catch_warnings():  # that it keeps all features: they are in memory anyway
        warnings.simplefilter("ignore", UserWarning)
        metric = KernelInceptionDistance(_Given(real.shape[1]), subsets, size)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def subset_of(wanted: int, *counts: int) -> int:
    """Return the size of KID's subsets: as wanted, at most half of the smallest set, at least 2."""
    return max(2, min(wanted, min(counts) // 2))


def kid_floor(real: Tensor, subsets: int, subset_size: int, seed: int) -> tuple[float, float]:
    """Return mean and standard deviation of KID between disjoint random subsets of one set."""
    size = subset_of(subset_size, len(real))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        order = torch.from_numpy(rng.permutation(len(real)))
        values.append(poly_mmd(real[order[:size]], real[order[size : 2 * size]]))
    found = torch.stack(values)
    return float(found.mean()), float(found.std(unbiased=False))


def score(
    real: Iterable[Tensor],
    fake: Iterable[Tensor],
    extractor: nn.Module,
    kid_subsets: int = 50,
    kid_subset_size: int = 32,
    seed: int = 0,
    batch: int = 16,
) -> dict[str, float]:
    """Return FID, KID and KID's floor for uint8 images `[C, H, W]` (or `[N, C, H, W]` tensors).

    The floor is the KID of real images against other real images: samples cannot be expected
    below it. FID has none here, for its bias grows as sets shrink and halves are not comparable.
    Raises DataError with fewer than 2 images on a side; below 4 real images the floor is left out.
    """
    features = extract(real, extractor, batch), extract(fake, extractor, batch)
    a, b = features
    if min(len(a), len(b)) < 2:
        raise DataError(
            f"FID and KID need at least 2 images on each side, not {len(a)} real and {len(b)} "
            "synthetic; raise sample.count or score.real_views"
        )
    mean, deviation = kid(a, b, kid_subsets, kid_subset_size, seed)
    found = {
        "fid": fid(a, b),
        "kid_mean": mean,
        "kid_std": deviation,
        "real": len(a),
        "synthetic": len(b),
        "subsets": kid_subsets,
        "subset_size": subset_of(kid_subset_size, len(a), len(b)),
    }
    if len(a) >= 4:
        mean, deviation = kid_floor(a, kid_subsets, kid_subset_size, seed)
        found |= {"kid_floor_mean": mean, "kid_floor_std": deviation}
    return found


def score_images(
    settings: ScoreSettings, images: Path, samples: Path, extractor: nn.Module
) -> dict[str, float]:
    """Return `score` of a generator.sample folder against a prepared set's training images.

    Real images are shown as the generator saw them: `real_views` random patches, or whole images
    at the size of the samples.
    """
    shown = json.loads((samples / DESCRIPTION).read_text())
    if shown["presentation"] == "patch":
        views = load_views(images, "patch", shown["resolution"])
        real = iter(torch.from_numpy(views.batch(settings.real_views, settings.seed, 0)))
    else:
        real = _whole(images, shown["native_size"])
    fake = _whole(samples, None)
    return score(
        real, fake, extractor, settings.kid_subsets, settings.kid_subset_size, settings.seed
    )


def _whole(folder: Path, size: list[int] | None) -> Iterable[Tensor]:
    """Yield the training images of a set, one in memory at a time, as `[3, H, W]` uint8."""
    for record in read_index(folder, TRAIN):
        pixels = restore(load_image(folder, record).image, size)
        yield torch.from_numpy(pixels.transpose(2, 0, 1).copy())
