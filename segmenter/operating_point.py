"""How a mask is made of a model's maps: the threshold and the rule of components, chosen on images
of the development, inside their fields of view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.combine import DECIDED, MEAN, Rule, combine
from vesselforge.segmenter.components import Components, choose_components
from vesselforge.segmenter.inference.showing import resized
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.models import Model

Maps = Sequence[NDArray[np.float32]]
"""One [n, H, W] an image: the members' probability maps."""
Images = Sequence[LoadedImage]


def maps_of(model: Model, images: Images, progress: Progress, scales: Sequence[float] = ()) -> Maps:
    """The members' maps of each image. scales: how many times as large they are shown each;
    without, as they are. Raises Interrupted when asked to stop."""
    maps = []
    pairs = zip(images, scales or [1.0] * len(images), strict=True)
    for done, (image, scale) in enumerate(pairs, start=1):
        if progress.stop_requested:
            raise Interrupted
        maps.append(model.members(image.image, scale=scale))
        progress.update(done, len(images), "image")
    return maps


def choose_threshold(rule: Rule, maps: Maps, images: Images) -> tuple[float, float]:
    """(threshold, its pooled F1): the best one, or that of a vote."""
    probs, (references, fovs) = [combine(rule, of_image) for of_image in maps], truths(images)
    if rule != MEAN:
        return DECIDED, pooled_f1([prob >= DECIDED for prob in probs], references, fovs)
    return best_threshold(probs, references, fovs)


def choose_pieces(rule: Rule, maps: Maps, images: Images, threshold: float) -> Components:
    """The rule of components for what a rule makes of the members' maps."""
    return choose_components(
        [combine(rule, of_image) for of_image in maps], *truths(images), threshold
    )


def choose_seen_pieces(
    model: Model, rule: Rule, threshold: float, maps: Maps, images: Images, scales: Sequence[float]
) -> Components:
    """The same for images that the model is shown so many times as large: the rule's pixels are of
    what the network sees."""
    if any(scale != 1 for scale in scales):
        images = [resized(*pair) for pair in zip(images, scales, strict=True)]
        maps = [model.members(image.image) for image in images]
    return choose_pieces(rule, maps, images, threshold)


def rechoose(model: Model, maps: Maps, images: Images, components: bool = False) -> None:
    """Choose a model's threshold anew, from maps of its members; of a vote, the thresholds of its
    members. components: then the rule of components, too."""
    if model.rule != MEAN:
        votes = range(len(model.rule.thresholds))
        best = [choose_threshold(MEAN, [m[i : i + 1] for m in maps], images)[0] for i in votes]
        model.rule = replace(model.rule, thresholds=tuple(best))
    else:
        model.threshold = choose_threshold(model.rule, maps, images)[0]
    if components:
        model.components = choose_pieces(model.rule, maps, images, model.threshold)


def truths(images: Images) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
    """The references and the fields of view."""
    return [image.reference for image in images], [image.fov for image in images]
