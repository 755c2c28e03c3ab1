"""Probabilities that mean what they say: sigmoid(logit / temperature + shift); `segmenter
calibrate` gives them to a trained model.

Guo et al. 2017 divide by a temperature alone, which mends too much certainty. Ours may also be too
generous everywhere: the mean probability of `sa-unet-drive` is 0.145 where people mark 0.125, its
best temperature 1.00, its error as large with it as without. The shift is for that (Platt 1999).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.devices import pick_device
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.combine import combine
from vesselforge.segmenter.components import ALL, pieces_in
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.inference.tiles import Tiling, tiled
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.metrics.probabilities import calibration, calibration_counts
from vesselforge.segmenter.model_files import (
    DESCRIPTIONS,
    Member,
    read_description,
    read_members,
    restore,
    save_model,
)
from vesselforge.segmenter.models import Model, place
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.operating_point import choose_pieces, maps_of, rechoose, truths

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest that can be fitted; a network beyond has learnt nothing, or has no faults."""
MOST_PIXELS = 5_000_000
"""That two numbers are fitted on, at most: as many as twenty images of DRIVE have."""


def calibrate(network: Segmenter, images: list[LoadedImage]) -> None:
    """Give a network in evaluation the temperature and the shift that fit these images, inside
    their fields of view. Raises DataError where all pixels are of one kind."""
    share = MOST_PIXELS // len(images)
    pixels = [_drawn(*pair, share) for pair in zip(_logits(network, images), images, strict=True)]
    logits, truth = (np.concatenate(column) for column in zip(*pixels, strict=True))
    network.temperature, network.shift = fitted(logits, truth)


def fitted(logits: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """(temperature, shift) with the lowest mean binary cross-entropy of [pixels], to six digits.

    With slope = 1 / temperature that is a logistic regression on one feature: convex.
    """
    if truth.all() or not truth.any():
        raise DataError(
            "calibrate: the images have pixels of one kind only inside their fields of view, "
            "expected vessels and background; nothing can be calibrated on them"
        )
    sign, wide = np.where(truth, 1.0, -1.0), logits.astype(np.float64)

    def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        right = sign * (found[0] * wide + found[1])  # the logit of what is true
        down = -sign * expit(-right)
        return float(np.logaddexp(0, -right).mean()), np.array([(down * wide).mean(), down.mean()])

    slopes = (1 / TEMPERATURES[1], 1 / TEMPERATURES[0])
    best = minimize(
        loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[slopes, (None, None)], tol=1e-10
    ).x
    return round(float(1 / best[0]), 6), round(float(best[1]), 6)


def _drawn(
    logits: NDArray[np.float32], image: LoadedImage, most: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits and truth of the pixels in the field of view; evenly spaced ones of more than most."""
    inside = np.flatnonzero(image.fov)
    inside = inside[:: -(-inside.size // most) or 1]
    return logits.ravel()[inside], image.reference.ravel()[inside]


@torch.inference_mode()
def _logits(network: Segmenter, images: Iterable[LoadedImage]) -> Iterator[NDArray[np.float32]]:
    """[H, W] of every image at its own size, before any calibration: a probability of float32 that
    is 1 tells no logit."""
    device = next(network.parameters()).device
    quick = fast(network) if device.type == "cpu" else network

    def run(x: torch.Tensor) -> torch.Tensor:
        logit: torch.Tensor = quick(x.to(device)).float().cpu()
        return logit

    for image in images:
        yield tiled(run, image.image, network.multiple, Tiling())[0]


def recalibrate(
    folder: Path, images: list[LoadedImage], out: Path, progress: Progress, components: bool = True
) -> dict[str, Any]:
    """Write a copy of a model into the empty folder `out`, and return its figures on the images
    `before` and `after`; see `_figures`.

    Every member is calibrated, then the threshold chosen on what is made of them (of a vote, the
    members'), then the rule of components, unless not wanted. Raises CheckpointError for a folder
    that is no model.
    """
    described = read_description(folder)
    name = next(name for name in DESCRIPTIONS if (folder / name).is_file())
    members = [_calibrated(folder, *pair, images, progress) for pair in read_members(folder)[0]]
    save_model(out, members, described.threshold, name, described.rule)
    before, after = (Model.load(each, runtime="auto") for each in (folder, out))
    old, maps = (maps_of(model, images, progress) for model in (before, after))
    rechoose(after, maps, images)
    if components:
        after.components = choose_pieces(after.rule, maps, images, after.threshold)
    save_model(out, members, after.threshold, name, after.rule, after.components)
    return {
        "folder": str(out),
        "images": len(images),
        "threshold": after.threshold,
        "calibration": [member.calibration for member, _ in members],
        "components": None if after.components == ALL else after.components.as_json(),
        "before": _figures(before, old, images),
        "after": _figures(after, maps, images),
        "components_reference": _mean(pieces_in(i.reference & i.fov) for i in images),
    }


def _calibrated(
    folder: Path,
    member: Member,
    tensors: dict[str, Tensor],
    images: list[LoadedImage],
    progress: Progress,
) -> tuple[Member, dict[str, Tensor]]:
    progress.message(f"fitting temperature and shift of {member.network}, {member.file}")
    network = restore(folder, member)
    place(network, pick_device("auto"))
    calibrate(network, images)
    return replace(member, temperature=network.temperature, shift=network.shift), tensors


def _figures(
    model: Model, maps: Sequence[NDArray[np.float32]], images: Sequence[LoadedImage]
) -> dict[str, float]:
    """Inside the fields of view of all images: pooled F1 and ECE, and the mean number of pieces."""
    masks, claims, pieces = [], [], []
    for of_members, image in zip(maps, images, strict=True):
        prob, truth, fov = combine(model.rule, of_members), image.reference, image.fov
        mask = model.mask(prob)
        masks.append(mask)
        claims.append(calibration_counts(prob[fov], truth[fov]))
        pieces.append(pieces_in(mask & fov))
    claimed = {name: sum(one[name] for one in claims) for name in claims[0]}
    return {
        "f1": round(pooled_f1(masks, *truths(images)), 6),
        "ece": round(float(calibration(claimed)["ece"]), 6),
        "components": _mean(pieces),
    }


def _mean(values: Iterable[int]) -> float:
    return round(float(np.mean(list(values))), 2)
