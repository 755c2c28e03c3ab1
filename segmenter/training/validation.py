"""Judging weights while they are trained: statistics, validation figures, the threshold."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vesselforge.configs.errors import TrainingError
from vesselforge.data.imageset import LoadedImage
from vesselforge.segmenter.metrics.probabilities import best_threshold, ranking
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.training.batch_sources import Source

PRECISE_BATCHES = 8
PROB_FLOOR = 1e-7
"""Probabilities are clipped to this for the cross-entropy, as Keras does."""


@torch.no_grad()
def precise_batch_norm(network: nn.Module, source: Source, first: int) -> None:
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
        images = source.batch_at(step).image
        network(images.to(device).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def validate(
    network: nn.Module, images: list[LoadedImage], device: torch.device
) -> dict[str, float]:
    """Pooled F1, AUC and mean cross-entropy (`loss`) inside the FOV of the images.

    F1 at the threshold that maximises it on these images. Raises TrainingError for an output that
    is no number.
    """
    probs = predictions(network, images, device)
    if not all(np.isfinite(prob).all() for prob in probs):
        raise TrainingError(
            "segmenter.train: the network's output on the validation images is no longer a number; "
            "lower `lr`, set `clip_value`, or use precision: float32"
        )
    references, fovs = [i.reference for i in images], [i.fov for i in images]
    threshold, f1 = best_threshold(probs, references, fovs)
    inside = np.concatenate([p[f] for p, f in zip(probs, fovs, strict=True)])
    truth = np.concatenate([r[f] for r, f in zip(references, fovs, strict=True)])
    figures = {
        "f1": f1,
        "threshold": threshold,
        "auc": ranking(inside, truth)["auc"],
        "loss": cross_entropy(inside, truth),
    }
    return {name: round(value, 6) for name, value in figures.items() if math.isfinite(value)}


def cross_entropy(prob: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Mean binary cross-entropy of probabilities, in nats."""
    of_truth = np.where(truth, prob, 1 - prob).astype(np.float64)
    return float(-np.log(of_truth.clip(PROB_FLOOR, 1)).mean())


def predictions(
    network: nn.Module, images: list[LoadedImage], device: torch.device
) -> list[NDArray[np.float32]]:
    """The network's probability maps [H, W] of images at their own sizes."""
    training = network.training
    model = Model([network], 0.5, device)
    probs = [model.predict(image.image) for image in images]
    network.train(training)
    return probs
