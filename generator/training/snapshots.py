"""Snapshots: how good a training's samples are every few kimg.

A snapshot compares samples of the weight average (psi 1, noise const, seeds 0, 1, …) with as many
real views, always the same ones: KID with an error bar, diversity, how far the discriminator
tells the two apart, and with masks (`channels: rgb+mask`) whether these are vessel trees. A
training that is resumed gets the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vesselforge.configs.settings import GeneratorSettings, SampleSettings
from vesselforge.data.formats.channels import eight_bit
from vesselforge.data.structure import TreeFigures, tree_figures
from vesselforge.engine.checkpoints import load_tensors, save_tensors
from vesselforge.generator.mask_channel import masks_of
from vesselforge.generator.metrics.distances import kid, kid_floor
from vesselforge.generator.metrics.extractors import Extractor, load_extractor
from vesselforge.generator.sampling.draw import Sampler
from vesselforge.generator.training.structure import RealStructure, Structure
from vesselforge.generator.training.trainer import Trainer
from vesselforge.generator.values import to_network, to_uint8
from vesselforge.generator.views import Views

Interval = tuple[float, float]
"""Mean and standard deviation."""

SUBSETS, SUBSET_SIZE = 50, 100
"""Resamplings behind KID's error bar, and images in each (at most half of what there is)."""
PAIRED = 1000
"""Images at most behind the diversity: 500,000 distances."""
JUDGED = 64
"""Images at most behind the discriminator's gap."""
FEWEST = 4
"""Images on each side below which nothing is scored: KID's floor needs two disjoint pairs."""
PART = 16
"""Images at a time, unless a training step holds fewer."""


@dataclass(frozen=True)
class Snapshot:
    """A training at one step. Scores are NaN where snapshots are not scored.

    clock: number of the checkpoint that holds the whole state. kid: mean and standard deviation
    over resamplings. diversity: mean distance of two samples over that of two real views. gap: mean
    logit of real views minus that of samples. structure: of the masks, where samples have one.
    symptoms: what `health` found wrong with it. kept: its weight average is still on disk.
    """

    step: int
    kimg: float
    clock: int
    scored: bool = False
    kid: Interval = (float("nan"), float("nan"))
    diversity: float = float("nan")
    gap: float = float("nan")
    structure: Structure | None = None
    symptoms: tuple[str, ...] = ()
    kept: bool = True

    @property
    def file(self) -> str:
        """Name of the file with its weight average; the grid of the same step has its number."""
        return f"snapshot-{self.step:06d}.safetensors"

    def scores(self) -> dict[str, float]:
        """Return what was measured, number by number; nothing when snapshots are not scored."""
        return self._quality | ({} if self.structure is None else self.structure.scores())

    def logged(self) -> dict[str, Any]:
        """Return what was measured, as in the log: the figures of the masks by themselves."""
        if self.structure is None:
            return self._quality
        return self._quality | {"structure": asdict(self.structure)}

    @property
    def _quality(self) -> dict[str, float]:
        if not self.scored:
            return {}
        return {
            "kid_mean": self.kid[0],
            "kid_std": self.kid[1],
            "diversity": self.diversity,
            "logit_gap": self.gap,
        }

    @property
    def finite(self) -> bool:
        """Whether it was scored, by numbers."""
        return self.scored and all(map(math.isfinite, self.scores().values()))

    def listed(self, file: str | None = None) -> dict[str, Any]:
        """Return what the artifact says of it. file: where its weight average is, if not in the
        file of its own name."""
        kept = file or (self.file if self.kept else None)
        return {"step": self.step, "kimg": self.kimg, "file": kept, **self.logged()}

    def told(self, floor: Interval) -> str:
        """Return the scores in a line for people. floor: see `Scorer.floor`."""
        line = (
            f"{self.kimg:g} kimg: KID {self.kid[0]:.3g} ± {self.kid[1]:.2g} (real against real "
            f"{floor[0]:.2g} ± {floor[1]:.2g}), diversity {self.diversity:.2f}"
        )
        return line if self.structure is None else f"{line}, {self.structure}"

    def pack(self) -> dict[str, Any]:
        """Return it as JSON."""
        facts = asdict(self)
        return facts if self.scored else {k: facts[k] for k in ("step", "kimg", "clock", "kept")}

    @staticmethod
    def unpack(facts: dict[str, Any]) -> Snapshot:
        """Return what `pack` packed."""
        found = Snapshot(**facts)
        kid, packed = (found.kid[0], found.kid[1]), facts.get("structure")
        structure = None if packed is None else Structure.unpack(packed)
        return replace(found, kid=kid, structure=structure, symptoms=tuple(found.symptoms))


class Scorer:
    """Compares a training's samples with real views; what concerns the reals is computed once."""

    def __init__(
        self, settings: GeneratorSettings, views: Views, device: torch.device, cache: Path
    ) -> None:
        """cache: file for the features of the real views, so that a resumed training has them."""
        self.settings = settings
        self.views = views
        self.device = device
        self.cache = cache
        self.part = min(PART, settings.micro_batch or settings.batch)
        self.count = settings.snapshot_images
        # Of whole images there are only so many; showing them twice would make KID too small.
        self.reals = self.count if views.presentation == "patch" else min(self.count, len(views))

    @property
    def scores(self) -> bool:
        """Whether there are enough images to score snapshots at all."""
        return min(self.count, self.reals) >= FEWEST

    def take(self, trainer: Trainer, clock: int) -> Snapshot:
        """Return the snapshot of a training, scored if there is enough to score it by."""
        step = trainer.step
        taken = Snapshot(step, step * self.settings.batch / 1000, clock)
        if not self.scores:
            return taken
        sampler = Sampler(trainer.average, SampleSettings(psi=1.0), self.views.labels)
        seeds, shown = range(self.count), min(JUDGED, self.count, self.reals)
        found, judged = [], []
        trees: list[TreeFigures] = []
        for start in range(0, self.count, self.part):
            images = sampler.draw(seeds[start : start + self.part])
            found.append(self._features(to_uint8(images)))
            if start < shown:
                judged.append(images)
            if self.real_structure is not None:
                trees += map(tree_figures, masks_of(images))
        fake = torch.cat(found)
        mean, deviation = kid(self.real, fake, SUBSETS, SUBSET_SIZE, self.settings.seed)
        drawn = torch.cat(judged)[:shown].to(self.device)
        gap = self._logit(trainer, *self._first_views(shown))
        gap -= self._logit(trainer, drawn, sampler.labels(seeds[:shown]))
        return replace(
            taken,
            scored=True,
            kid=(rounded(mean), rounded(deviation)),
            diversity=rounded(spread(fake) / spread(self.real)),
            gap=rounded(gap),
            structure=self.real_structure.beside(trees) if self.real_structure else None,
        )

    @cached_property
    def real(self) -> Tensor:
        """Features of the real views, `[N, D]` float64."""
        if self.cache.is_file():
            return load_tensors(self.cache)[0]["real"]
        views = eight_bit(self.views.batch(self.reals, self.settings.seed, 0))
        parts = torch.from_numpy(views).split(self.part)
        found = torch.cat([self._features(part) for part in parts])
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(self.cache, {"real": found})
        return found

    @cached_property
    def real_structure(self) -> RealStructure | None:
        """Figures of the same views' masks; None where views have none."""
        if self.views.channels.kind != "rgb+mask":
            return None
        channel = self.views.batch(self.reals, self.settings.seed, 0)[:, -1:]
        masks = masks_of(to_network(channel, torch.device("cpu")))
        return RealStructure([tree_figures(mask) for mask in masks])

    @cached_property
    def floor(self) -> Interval:
        """KID of real views against other real views: what samples cannot be expected below."""
        mean, deviation = kid_floor(self.real, SUBSETS, SUBSET_SIZE, self.settings.seed)
        return rounded(mean), rounded(deviation)

    def floor_scores(self) -> dict[str, float]:
        """Return the floor as in the log; nothing when snapshots are not scored."""
        if not self.scores:
            return {}
        return {"kid_floor_mean": self.floor[0], "kid_floor_std": self.floor[1]}

    def described(self) -> dict[str, Any] | None:
        """Return by what snapshots were scored, for the artifact's description."""
        if not self.scores:
            return None
        facts = {"features": self._extractor.identity, "samples": self.count, "reals": self.reals}
        return facts | self.floor_scores()

    @cached_property
    def _extractor(self) -> Extractor:
        cfg = self.settings
        return load_extractor(cfg.snapshot_features, cfg.features_file, self.device)

    def _features(self, images: Tensor) -> Tensor:
        found: Tensor = self._extractor(images.to(self.device))
        return found.double().cpu()

    def _first_views(self, count: int) -> tuple[Tensor, Tensor | None]:
        drawn = count, self.settings.seed, 0
        labels = self.views.batch_labels(*drawn).to(self.device) if self.views.c_dim else None
        return to_network(self.views.batch(*drawn), self.device), labels

    @torch.no_grad()
    def _logit(self, trainer: Trainer, images: Tensor, labels: Tensor | None) -> float:
        """Return the mean logit; in groups that minibatch-std accepts."""
        group = min(self.settings.mbstd_group, len(images))
        whole, size = len(images) // group * group, group * max(1, self.part // group)
        logits = []
        for start in range(0, whole, size):
            part = slice(start, min(start + size, whole))
            c = None if labels is None else labels[part]
            logits.append(trainer.discriminator(images[part], c))
        return float(torch.cat(logits).double().mean())


def spread(features: Tensor) -> float:
    """Return the mean distance between two rows of `[N, D]`."""
    return float(torch.pdist(features[:PAIRED]).mean())


def rounded(value: float) -> float:
    """Return six digits of a number: what is logged is what is compared."""
    return float(f"{value:.6g}")
