"""How good a training is at its snapshots, every few kimg, and which of them is the best.

A snapshot compares samples of the weight average (psi 1, seeds 0, 1, …) with as many real views,
always the same ones: KID with an error bar, diversity, and with masks (`channels: rgb+mask`)
whether these are vessel trees. A training that is resumed gets the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.data.structure import FIGURES, RealRange, TreeFigures, tree_figures
from vesselforge.generator.metrics.distances import kid, kid_floor
from vesselforge.generator.metrics.extractors import RandomFeatures
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.training.trainer import Trainer
from vesselforge.generator.values import masks_of, to_network, to_uint8
from vesselforge.generator.views import Views

Interval = tuple[float, float]
"""Mean and standard deviation."""
CENTRAL = 0.98
"""Of the real windows, the central share that is the range, as `pseudo_label.real_range` has it."""
SUBSET_SIZE = 100
"""Images in each resampling behind KID's error bar, at most half of what there is."""
PAIRED = 1000
"""Images at most behind the diversity: 500,000 distances."""
FEWEST = 4
"""Images on each side below which nothing is scored: KID's floor needs two disjoint pairs."""
AT_ONCE = 16
"""Images at a time, unless a training step holds fewer."""
ALIKE = "not scored, for all training images look the same; is the training set what it should be?"


@dataclass(frozen=True)
class Structure:
    """Are the masks that a joint generator draws vessel trees? KID does not see it: the same KID
    belongs to vessels that go on and branch, and to threads that come and go.

    Means of the figures over the samples' masks and over as many real windows, to six digits;
    in_range: the share of samples in the range of the real windows, see `RealRange.outside`.
    """

    samples: TreeFigures
    reals: TreeFigures
    in_range: float

    @staticmethod
    def of(samples: Sequence[TreeFigures], reals: Sequence[TreeFigures]) -> Structure:
        """Hold samples against real windows that are as large."""
        usual = RealRange.of(reals, CENTRAL)
        inside = float(np.mean([not usual.outside(one) for one in samples]))
        return Structure(_mean(samples), _mean(reals), round(inside, 6))

    def __str__(self) -> str:
        """Such as `pieces 2.1 (real 1.6), ends 3.0 (real 1.2), in range 0.41`."""
        own, real = self.samples, self.reals
        return (
            f"pieces {own.components:.1f} (real {real.components:.1f}), ends {own.ends:.1f} (real "
            f"{real.ends:.1f}), in range {self.in_range:.2f}"
        )


def _mean(found: Sequence[TreeFigures]) -> TreeFigures:
    means = np.mean([[getattr(one, name) for name in FIGURES] for one in found], axis=0)
    return TreeFigures(**TreeFigures(*means.tolist()).as_json())


@dataclass(frozen=True)
class Snapshot:
    """A training at one step. Scores are None where snapshots are not scored, and where they are no
    finite numbers.

    kid: mean and standard deviation over resamplings. diversity: mean distance of two samples over
    that of two real views. structure: of the masks, where samples have one.
    """

    step: int
    kimg: float
    kid: Interval | None = None
    diversity: float | None = None
    structure: Structure | None = None

    def scores(self) -> dict[str, float]:
        """Return what was measured of images; nothing when snapshots are not scored."""
        if self.kid is None or self.diversity is None:
            return {}
        return {"kid_mean": self.kid[0], "kid_std": self.kid[1], "diversity": self.diversity}

    def logged(self) -> dict[str, Any]:
        """Return what was measured, as in the log and in generator.json."""
        structure = {} if self.structure is None else {"structure": asdict(self.structure)}
        return self.scores() | structure

    def __str__(self) -> str:
        """Such as `2 kimg: KID 0.12 ± 0.01, diversity 0.80`."""
        kid = self.kid or (math.nan, math.nan)
        line = (
            f"{self.kimg:g} kimg: KID {kid[0]:.3g} ± {kid[1]:.2g}, diversity {self.diversity:.2f}"
        )
        return line if self.structure is None else f"{line}, {self.structure}"


def best_of(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """Return the snapshot with the least KID, the newest where nothing is scored; None of none."""

    def key(taken: Snapshot) -> tuple[bool, float, int]:
        return taken.kid is None, taken.kid[0] if taken.kid else -taken.step, taken.step

    return min(snapshots, key=key, default=None)


class Scorer:
    """Compares a training's samples with real views; what concerns the reals is computed once."""

    def __init__(self, settings: GeneratorSettings, views: Views, device: torch.device) -> None:
        self.settings = settings
        self.views = views
        self.device = device
        self.at_once = min(AT_ONCE, settings.batch)
        self.count = settings.snapshot_images
        # Of whole images there are only so many; showing them twice would make KID too small.
        self.reals = self.count if views.presentation == "patch" else min(self.count, len(views))

    @property
    def scores(self) -> bool:
        """Whether there are images enough on both sides to score snapshots at all, and not all the
        same."""
        return min(self.count, self.reals) >= FEWEST and not self.alike

    @cached_property
    def alike(self) -> bool:
        """Whether all real views show the same: nothing can be more or less diverse than they."""
        if self.reals < FEWEST:
            return False
        views = self.views.batch(self.reals, self.settings.seed, 0)
        return bool((views == views[0]).all())

    def take(self, trainer: Trainer) -> Snapshot:
        """Return the snapshot of a training, scored if there is enough to score it by."""
        step = trainer.step
        snapshot = Snapshot(step, step * self.settings.batch / 1000)
        if not self.scores:
            return snapshot
        sampler = Sampler(trainer.average, labels=self.views.labels)
        features: list[Tensor] = []
        trees: list[TreeFigures] = []
        for start in range(0, self.count, self.at_once):
            images = sampler.draw(range(start, min(start + self.at_once, self.count)))
            features.append(self._features(to_uint8(images)))
            if self.real_trees:
                trees += map(tree_figures, masks_of(images))
        fake = torch.cat(features)
        kid_of = kid(self.real, fake, SUBSET_SIZE, self.settings.seed)
        diversity = mean_distance(fake) / mean_distance(self.real)
        if not all(map(math.isfinite, (*kid_of, diversity))):
            return snapshot
        return replace(
            snapshot,
            kid=(rounded(kid_of[0]), rounded(kid_of[1])),
            diversity=rounded(diversity),
            structure=Structure.of(trees, self.real_trees) if self.real_trees else None,
        )

    @cached_property
    def real(self) -> Tensor:
        """Features of the real views, `[N, D]` float64."""
        views = self.views.batch(self.reals, self.settings.seed, 0)
        parts = torch.from_numpy(views).split(self.at_once)
        return torch.cat([self._features(part) for part in parts])

    @cached_property
    def real_trees(self) -> list[TreeFigures]:
        """Figures of the same views' masks; none where views have none."""
        if self.views.channels.kind != "rgb+mask":
            return []
        channel = self.views.batch(self.reals, self.settings.seed, 0)[:, -1:]
        return [tree_figures(mask) for mask in masks_of(to_network(channel, torch.device("cpu")))]

    @cached_property
    def floor(self) -> dict[str, float]:
        """KID of real views against other real views, below which samples cannot be expected, as in
        the log; nothing when snapshots are not scored."""
        if not self.scores:
            return {}
        mean, deviation = kid_floor(self.real, SUBSET_SIZE, self.settings.seed)
        return {"kid_floor_mean": rounded(mean), "kid_floor_std": rounded(deviation)}

    def described(self) -> dict[str, Any] | None:
        """Return by what snapshots were scored, for the artifact's description."""
        if not self.scores:
            return None
        facts = {"features": self._extractor.identity, "samples": self.count, "reals": self.reals}
        return facts | self.floor

    @cached_property
    def _extractor(self) -> RandomFeatures:
        return RandomFeatures().to(self.device)

    def _features(self, images: Tensor) -> Tensor:
        found: Tensor = self._extractor(images.to(self.device))
        return found.double().cpu()


def mean_distance(features: Tensor) -> float:
    """Return the mean distance between two rows of `[N, D]`."""
    return float(torch.pdist(features[:PAIRED]).mean())


def rounded(value: float) -> float:
    """Return six digits of a number: what is logged is what is compared."""
    return float(f"{value:.6g}")
