"""Probabilities that mean what they say: sigmoid(logit / temperature + shift); `segmenter
calibrate` gives them to a trained model.

Guo et al. 2017 divide by a temperature alone, which mends too much certainty. Ours may also be too
generous everywhere: the mean probability of `sa-unet-drive` is 0.145 where people mark 0.125, its
best temperature 1.00, its error as large with it as without. The shift is for that (Platt 1999).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.devices import pick_device
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.combine import combine
from vesselforge.segmenter.components import pieces_in
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.inference.showing import resized, showing
from vesselforge.segmenter.inference.tiles import tiled
from vesselforge.segmenter.metrics.confusion import inside, pooled_f1
from vesselforge.segmenter.metrics.probabilities import calibration, calibration_counts
from vesselforge.segmenter.model_files import calibration_of, read_description, restore, save_model
from vesselforge.segmenter.models import Model, place
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.operating_point import Images, Maps, maps_of, rechoose, truths

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest that can be fitted; a network beyond has learnt nothing, or has no faults."""
MOST_PIXELS = 5_000_000
"""That two numbers are fitted on, at most: as many as twenty images of DRIVE have."""


@torch.inference_mode()
def calibrate(network: Segmenter, images: list[LoadedImage]) -> None:
    """Give a network in evaluation the temperature and the shift that fit these images, inside
    their fields of view. Raises DataError where all pixels are of one kind."""
    device = next(network.parameters()).device
    quick = fast(network) if device.type == "cpu" else network

    def run(x: torch.Tensor) -> torch.Tensor:  # logits: a probability of float32 that is 1 has none
        logit: torch.Tensor = quick(x.to(device)).float().cpu()
        return logit

    logits, truth = [], []
    for image in images:
        pixels = np.flatnonzero(image.fov)
        pixels = pixels[:: -(-pixels.size // (MOST_PIXELS // len(images))) or 1]  # evenly spaced
        logits.append(tiled(run, image.image, network.multiple)[0].ravel()[pixels])
        truth.append(image.reference.ravel()[pixels])
    network.temperature, network.shift = fitted(np.concatenate(logits), np.concatenate(truth))


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


def recalibrate(
    folder: Path, images: list[LoadedImage], out: Path, progress: Progress, components: bool = True
) -> dict[str, Any]:
    """Write a copy of a model into the empty folder `out`, and return its figures on the images
    `before` and `after`; see `_figures`.

    Every member is calibrated, then the threshold chosen on what is made of them (of a vote, the
    members'), then the rule of components, unless not wanted. Raises CheckpointError for a folder
    that is no model. Images of another magnification than the model's are resized first.
    """
    described, device, members, networks = read_description(folder), pick_device(), [], []
    before = Model.load(folder, runtime="auto")
    images = [resized(i, showing(before, i.image, i.fov).scale) for i in images]
    for member in described.members:
        progress.message(f"fitting temperature and shift of {member.network}, {member.file}")
        network = restore(folder, member)
        place(network, device)
        calibrate(network, images)
        changed = replace(member, temperature=network.temperature, shift=network.shift)
        networks.append(network)
        members.append((changed, network.state_dict()))
    after = Model(networks, described.threshold, device, "auto", rule=described.rule)
    old, maps = (maps_of(model, images, progress) for model in (before, after))
    rechoose(after, maps, images, components)
    how = after.rule, after.components, described.magnification
    save_model(out, members, after.threshold, *how)
    return {
        "folder": str(out),
        "images": len(images),
        "threshold": after.threshold,
        "calibration": [calibration_of(member) for member, _ in members],
        "components": after.components.said().get("components"),
        "before": _figures(before, old, images),
        "after": _figures(after, maps, images),
        "components_reference": _mean([pieces_in(i.reference & i.fov) for i in images]),
    }


def _figures(model: Model, maps: Maps, images: Images) -> dict[str, float]:
    """Inside the fields of view of all images: pooled F1 and ECE, and the mean number of pieces."""
    (references, fovs), probs = truths(images), [combine(model.rule, each) for each in maps]
    masks = [model.mask(prob) for prob in probs]
    claimed = calibration(calibration_counts(inside(probs, fovs), inside(references, fovs)))
    return {
        "f1": round(pooled_f1(masks, references, fovs), 6),
        "ece": round(float(claimed["ece"]), 6),
        "components": _mean([pieces_in(m & fov) for m, fov in zip(masks, fovs, strict=True)]),
    }


def _mean(values: list[int]) -> float:
    return round(float(np.mean(values)), 2)
