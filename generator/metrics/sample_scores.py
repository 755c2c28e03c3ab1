"""All figures of a set of samples: distances, manifolds, memorisation."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.metrics.closest import write_closest
from vesselforge.generator.metrics.distances import SEED, Figures, score_features
from vesselforge.generator.metrics.extractors import extract
from vesselforge.generator.metrics.kid_verdict import UNSURE, kid_in_short
from vesselforge.generator.metrics.memorisation import (
    c_t,
    copies,
    matches,
    relative_distance,
    turned_features,
)
from vesselforge.generator.metrics.reals import Reals, described, sample_of, sample_records


def score_samples(
    settings: ScoreSettings, inputs: Inputs, extractor: nn.Module, out: Path, progress: Progress
) -> Figures:
    """Return every figure; write closest.csv, closest.png and pairs/.

    inputs: `samples` (generator.sample, or any image set: see `described`; of split `train` alone),
    `images` (a prepared set), and perhaps `generator` (of the samples).
    """
    folder = inputs["samples"].path
    records = sample_records(folder)
    numbers = range(len(records))
    reals = Reals(inputs["images"].path, described(inputs, progress))

    def sample(number: int) -> Tensor:
        return sample_of(folder, records[number])

    real = extract(reals.drawn(reals.training, settings.real_views, SEED)[0], extractor)
    _go_on(progress, "the real images")
    fake = extract(map(sample, numbers), extractor)
    found = score_features(real, fake, settings.kid_subset_size)
    progress.message(in_a_line(found))

    training = extract(map(reals.view, reals.places), extractor)
    _go_on(progress, "the training views")
    found["training_views"] = len(training)
    whole = reals.presentation == "full"  # then the training views are turned, not these
    turns = fake[:, None] if whole else turned_features(map(sample, numbers), extractor)
    mine = matches(turns, training)
    if reals.held_out is None:
        progress.message("no validation images: no copy ratio, no C_T")
    else:
        views, owners = reals.drawn(reals.held_out, settings.real_views, SEED)
        turns = extract(views, extractor)[:, None] if whole else turned_features(views, extractor)
        beside = matches(turns, training)
        found |= copies(mine, beside, len(reals.held_out)) | {"c_t": c_t(mine, beside, owners)}
        if (distance := relative_distance(mine, beside)) is not None:
            found["relative_distance"] = distance
    names = [record.id for record in records]
    write_closest(out, mine, names, reals, found.get("copy_threshold"), sample)
    return found


def in_a_line(found: Figures) -> str:
    """Return the line that a person reads: FID, KID with its error bar, its floor, and whether they
    say anything."""
    line = f"FID {found['fid']:.3g}, KID {found['kid_mean']:.3g} ± {found['kid_std']:.2g}"
    if "kid_floor_mean" in found:
        floor, deviation = found["kid_floor_mean"], found["kid_floor_std"]
        line += f" (real against real: {floor:.3g} ± {deviation:.2g})"
    return f"{line}: KID {UNSURE}" if kid_in_short(found) == UNSURE else line


def _go_on(progress: Progress, done: str) -> None:
    if progress.stop_requested:
        raise Interrupted(f"generator.score stopped after {done}")
