"""Does the generator copy? Each sample's nearest training view, calibrated by held-out images.

Mirrored and turned versions count, for training may have shown them so: of the samples and
held-out crops, or of the training images where those are whole. A held-out view is no copy; how
near those come by chance says how near is suspicious.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from vesselforge.generator.metrics.distances import nearest
from vesselforge.generator.metrics.extractors import extract

SUSPICIOUS = 0.05
"""Share of held-out views that are as near to a training view as what is called a copy."""


@dataclass(frozen=True)
class Matches:
    """The nearest training view of each image.

    distances: `[N]`, in feature space. views: `[N]`, index among the training views. turned: `[N]`,
    which of `turns` of the image it was.
    """

    distances: NDArray[np.float64]
    views: NDArray[np.int64]
    turned: NDArray[np.int64]


def turns(image: Tensor) -> list[Tensor]:
    """Return the mirrored and turned versions of `[C, H, W]`: 8 of a square, 4 of another shape."""
    return [turned(image, version) for version in range(8 if _square(image) else 4)]


def turned(image: Tensor, version: int) -> Tensor:
    """Return one version: 2q + m is the image mirrored left to right if m, then turned by q
    quarters, or halves unless it is square."""
    image = image.flip(-1) if version % 2 else image
    return torch.rot90(image, (1 if _square(image) else 2) * (version // 2), (-2, -1))


def turned_back(image: Tensor, version: int) -> Tensor:
    """Undo a turn: `turned_back(turned(x, v), v)` is x. A mirrored version undoes itself."""
    return turned(image, version if version % 2 else -version % 8)


def _square(image: Tensor) -> bool:
    return image.shape[-1] == image.shape[-2]


def turned_features(images: Iterable[Tensor], extractor: nn.Module) -> Tensor:
    """Return features `[N, 8, D]` of all versions of each image; all are squares."""
    features = extract((turn for image in images for turn in turns(image)), extractor)
    return features.unflatten(0, (-1, 8))


def matches(features: Tensor, training: Tensor) -> Matches:
    """Find the nearest of the training views `[M, D]` for images `[N, V, D]` in all versions."""
    distances, places = nearest(features.flatten(0, 1), training)
    best, version = distances.unflatten(0, features.shape[:2])[..., 0].min(dim=1)
    places = places.unflatten(0, features.shape[:2])[..., 0]
    views = places.gather(1, version[:, None])[:, 0]
    return Matches(best.numpy(), views.numpy(), version.numpy())


def copies(samples: Matches, held_out: Matches, images: int) -> dict[str, float]:
    """Count the samples that come nearer to the training images than held-out ones do.

    copy_threshold is the k-th smallest of the n held-out distances, k = ⌊0.05·(n + 1)⌋, at least 1:
    a new image of the same distribution comes below it with probability k/(n + 1) exactly, however
    few there are. That is 5 % for many held-out views, and 20 % for four. copy_ratio: share of
    samples below it; copy_expected: the share that a generator has which draws new images like the
    held-out ones. images: how many those are views of; crops of few images are alike, and the
    expected share is then a rough guide.
    """
    n = len(held_out.distances)
    k = max(1, int(SUSPICIOUS * (n + 1)))
    threshold = float(np.sort(held_out.distances)[k - 1])
    return {
        "copy_ratio": float((samples.distances < threshold).mean()),
        "copy_expected": k / (n + 1),
        "copy_threshold": threshold,
        "copy_held_out": n,
        "copy_held_out_images": images,
    }


def c_t(samples: Matches, held_out: Matches, images: Sequence[int]) -> float:
    """Return C_T (Meehan, Chaudhuri and Dasgupta 2020): the z-score of Mann-Whitney's U between
    distances of samples and of held-out views, with each of the k held-out images as one
    observation, whose place among the m samples is the mean place of its views:
    (place - 1/2) / √((m + k + 1)/12mk). Far below 0 samples are nearer than new images are; far
    above 0 they are of another distribution. images: of which image each view is.

    A mean over views spreads no more than a single view does, however alike they are, so the
    deviation taken here, that of k single views, is an upper bound: |z| is rather too small.
    """
    owners, m = np.asarray(images), len(samples.distances)
    views = [held_out.distances[owners == image] for image in np.unique(owners)]
    places = [
        float(mannwhitneyu(samples.distances, own).statistic) / (m * len(own)) for own in views
    ]
    k = len(places)
    return (float(np.mean(places)) - 0.5) / ((m + k + 1) / (12 * m * k)) ** 0.5


def relative_distance(samples: Matches, held_out: Matches) -> float | None:
    """Return the median distance of the samples in units of the held-out views' median: 1 as new
    images, 0 for copies; None when half of the held-out views are training views themselves."""
    median = float(np.median(held_out.distances))
    return float(np.median(samples.distances)) / median if median > 0 else None
