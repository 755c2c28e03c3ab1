"""All figures of a set of samples: distances, manifolds, memorisation, and path length."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.metrics.closest import write_closest
from vesselforge.generator.metrics.described import described, sample_records
from vesselforge.generator.metrics.distances import SUBSETS, fid, kid, kid_floor, subset_of
from vesselforge.generator.metrics.extractors import device_of
from vesselforge.generator.metrics.feature_cache import FeatureCache, extract
from vesselforge.generator.metrics.kid_verdict import cannot_tell
from vesselforge.generator.metrics.manifold import manifold
from vesselforge.generator.metrics.memorisation import (
    Matches,
    c_t,
    c_t_by_image,
    copies,
    matches,
    relative_distance,
    turned_features,
    turns,
)
from vesselforge.generator.metrics.path import load_lpips, path_distances, trimmed_mean
from vesselforge.generator.metrics.reals import Reals, sample_of, samples_of
from vesselforge.generator.models import load_generator
from vesselforge.generator.views import Views

Figures = dict[str, float]
NEIGHBOURS = 5
"""k of precision, recall, density and coverage."""
SEED = 0
"""Of crops and resampling."""


def score_samples(
    settings: ScoreSettings,
    inputs: Inputs,
    extractor: nn.Module,
    identity: str,
    out: Path,
    progress: Progress,
    cache: FeatureCache,
) -> Figures:
    """Return every figure that the settings ask for; write closest.csv, closest.png and pairs/.

    inputs: `samples` (generator.sample, or any image set: see `described`; of split `train` alone),
    `images` (a prepared set), and `generator` (generator.train, of the samples) for the path
    length. identity: of the extractor, under which `cache` keeps the features of real images.
    """
    scoring = _Scoring(settings, inputs, extractor, identity, out, progress, cache)
    found = scoring.distances()
    progress.message(in_a_line(found))
    found |= scoring.memorisation()
    if settings.path_length_pairs:
        found |= scoring.path_length()
    return found


def in_a_line(found: Figures) -> str:
    """Return the line that a person reads: FID, KID with its error bar, its floor, and whether they
    say anything."""
    line = f"FID {found['fid']:.3g}, KID {found['kid_mean']:.3g} ± {found['kid_std']:.2g}"
    if "kid_floor_mean" in found:
        floor, deviation = found["kid_floor_mean"], found["kid_floor_std"]
        line += f" (real against real: {floor:.3g} ± {deviation:.2g})"
    return f"{line}: KID cannot tell" if cannot_tell(found) else line


class _Scoring:
    """One scoring: what its parts share."""

    def __init__(
        self,
        settings: ScoreSettings,
        inputs: Inputs,
        extractor: nn.Module,
        identity: str,
        out: Path,
        progress: Progress,
        cache: FeatureCache,
    ) -> None:
        self.settings = settings
        self.inputs = inputs
        self.extractor = extractor
        self.identity = identity
        self.out = out
        self.progress = progress
        self.cache = cache
        self.samples = inputs["samples"].path
        self.records = sample_records(self.samples)
        self.reals = Reals(inputs["images"].path, described(inputs, progress))

    def distances(self) -> Figures:
        cfg, reals = self.settings, self.reals
        real = self._cached(
            {"views": "drawn", "count": cfg.real_views},
            lambda: reals.drawn(reals.training, cfg.real_views, SEED),
        )
        self._go_on("the real images")
        self.fake = extract(samples_of(self.samples), self.extractor)
        return score_features(real, self.fake, cfg.kid_subset_size)

    def memorisation(self) -> Figures:
        """Copy ratio and C_T, if there are held-out images to compare with; the nearest views."""
        reals = self.reals
        training = self._cached({"views": "searched"}, reals.searched)
        self._go_on("the training views")
        whole = reals.presentation == "full"  # then the training views are turned, not these
        mine = (
            self.fake.unsqueeze(1)
            if whole
            else turned_features(samples_of(self.samples), self.extractor)
        )
        found = matches(mine, training)
        figures: Figures = {"training_views": len(training)}
        threshold = None
        if reals.held_out is None:
            self.progress.message("no validation images: no copy ratio, no C_T")
        else:
            beside = matches(self._held_out(reals.held_out, whole), training)
            verdict = copies(found, beside, len(reals.held_out))
            threshold = verdict.threshold
            figures |= {f"copy_{name}": value for name, value in asdict(verdict).items()}
            owners = reals.drawn_from(reals.held_out, self.settings.real_views, SEED)
            figures["c_t"] = c_t(found, beside)
            figures["c_t_by_image"] = c_t_by_image(found, beside, owners)
            if (distance := relative_distance(found, beside)) is not None:
                figures["relative_distance"] = distance
        self._show(found, threshold)
        return figures

    def _held_out(self, held_out: Views, whole: bool) -> Tensor:
        """Features `[N, V, D]` of the held-out views, in all versions or as they are."""
        count, versions = self.settings.real_views, 1 if whole else 8  # crops are square
        views = self.reals.drawn(held_out, count, SEED)
        found = self._cached(
            {"views": "held out", "count": count, "versions": versions},
            lambda: views if whole else (turn for view in views for turn in turns(view)),
        )
        return found.unflatten(0, (-1, versions))

    def _show(self, found: Matches, threshold: float | None) -> None:
        write_closest(
            self.out,
            found,
            [record.id for record in self.records],
            self.reals.places,
            threshold,
            lambda i, place: (sample_of(self.samples, self.records[i]), self.reals.view(place)),
        )

    def path_length(self) -> Figures:
        """The perceptual path length, by LPIPS."""
        cfg = self.settings
        assert cfg.lpips_file is not None  # as the settings check
        generator, description = load_generator(self.inputs["generator"].path)
        device = device_of(self.extractor)
        embed = load_lpips(cfg.lpips_file, device)
        labels = description.get("labels")
        pairs = cfg.path_length_pairs
        found = path_distances(generator.to(device), embed, pairs, SEED, labels)
        return {"perceptual_path_length": trimmed_mean(found), "path_length_pairs": pairs}

    def _cached(self, key: dict[str, Any], images: Callable[[], Iterable[Tensor]]) -> Tensor:
        """Features of real images; they follow from the key, the set and the extractor alone."""
        whole = {
            "set": self.inputs["images"].digest,
            "extractor": self.identity,
            **self.reals.key,
            **key,
        }
        return self.cache.get(whole, lambda: extract(images(), self.extractor))

    def _go_on(self, done: str) -> None:
        if self.progress.stop_requested:
            raise Interrupted(f"generator.score stopped after {done}")


def score_features(real: Tensor, fake: Tensor, kid_subset_size: int = 32) -> Figures:
    """Return FID, KID and its floor, precision, recall, density and coverage of features `[N, D]`.

    The floor is the KID of real images against other real images: samples cannot be expected
    below it. FID has none here, for its bias grows as sets shrink and halves are not comparable.
    Raises DataError with fewer than 2 images on a side; below 4 real images the floor is left out.
    """
    if min(len(real), len(fake)) < 2:
        raise DataError(
            f"scores need at least 2 images on each side, not {len(real)} real and {len(fake)} "
            "synthetic; raise sample.count or score.real_views"
        )
    mean, deviation = kid(real, fake, kid_subset_size, SEED)
    found: Figures = {
        "fid": fid(real, fake),
        "kid_mean": mean,
        "kid_std": deviation,
        "real": len(real),
        "synthetic": len(fake),
        "subsets": SUBSETS,
        "subset_size": subset_of(kid_subset_size, len(real), len(fake)),
        **asdict(manifold(real, fake, NEIGHBOURS)),
    }
    if len(real) >= 4:
        mean, deviation = kid_floor(real, kid_subset_size, SEED)
        found |= {"kid_floor_mean": mean, "kid_floor_std": deviation}
    return found
