"""Judging weights while they are trained: statistics and validation figures."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from vesselforge.configs.errors import TrainingError
from vesselforge.data.imageset import LoadedImage
from vesselforge.segmenter.metrics.confusion import inside
from vesselforge.segmenter.metrics.probabilities import best_threshold, ranking
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import truths
from vesselforge.segmenter.training.batch_sources import Batches
from vesselforge.segmenter.training.sizes import Sizes

PRECISE_BATCHES = 8
PROB_FLOOR = 1e-7
"""Probabilities are clipped to this for the cross-entropy, as Keras does."""


@torch.no_grad()
def precise_batch_norm(network: nn.Module, batches: Batches, first: int) -> None:
    """Measure BatchNorm's running statistics anew on PRECISE_BATCHES batches of training images.

    With the paper's momentum they trail hundreds of steps behind the weights, include DropBlock's
    noise, and do not belong to averaged weights at all: after 250 steps the validation F1 was
    0.06 instead of 0.7. (Wu and Johnson 2021, section 3: precise BatchNorm.)
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    device = next(network.parameters()).device
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for step in range(first, first + PRECISE_BATCHES):
        images = batches.batch_at(step).image
        network(images.to(device).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def validate(
    network: nn.Module, images: list[LoadedImage], device: torch.device, sizes: Sizes
) -> dict[str, float]:
    """Pooled F1, AUC and mean cross-entropy (`loss`, in nats) inside the FOV of the images, by the
    network in evaluation, which is shown the images at their `sizes`.

    F1 at the threshold that maximises it on these images. Raises TrainingError for an output that
    is no number.
    """
    model, (references, fovs) = Model([network], 0.5, device), truths(images)
    probs = [model.predict(image.image, scale=sizes.of(image)) for image in images]
    if not all(np.isfinite(prob).all() for prob in probs):
        raise TrainingError(
            "segmenter.train: the network's output on the validation images is no longer a number; "
            "lower `lr`, set `clip_value`, or use precision: float32"
        )
    threshold, f1 = best_threshold(probs, references, fovs)
    prob, truth = inside(probs, fovs), inside(references, fovs)
    of_truth = np.where(truth, prob, 1 - prob).astype(np.float64)
    figures = {
        "f1": f1,
        "threshold": threshold,
        "auc": ranking(prob, truth)["auc"],
        "loss": float(-np.log(of_truth.clip(PROB_FLOOR, 1)).mean()),
    }
    return {name: round(value, 6) for name, value in figures.items() if math.isfinite(value)}
