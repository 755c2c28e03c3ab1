"""`segmenter calibrate`: a trained model as it is, with probabilities and masks that fit images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.devices import pick_device
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.calibration import calibrate
from vesselforge.segmenter.combine import combine
from vesselforge.segmenter.components import ALL, pieces_in
from vesselforge.segmenter.metrics import pooled_f1
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
from vesselforge.segmenter.operating_point import choose_pieces, maps_of, rechoose, truths


def recalibrate(
    folder: Path, images: list[LoadedImage], out: Path, progress: Progress, components: bool = True
) -> dict[str, Any]:
    """Write a copy of a model into the empty folder `out`, and return its figures on the images
    `before` and `after`; see `_figures`.

    Every member is calibrated, then the threshold chosen on what is made of them (of a vote, the
    members'), then the rule of components, unless not wanted. `stacked` is a calibration by itself:
    its members stay as they are. Raises CheckpointError for a folder that is no model.
    """
    described = read_description(folder)
    name = next(name for name in DESCRIPTIONS if (folder / name).is_file())
    members = read_members(folder)[0]
    if described.rule.method != "stacked":
        members = [_calibrated(folder, *pair, images, progress) for pair in members]
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
    network = restore(folder, member, tensors)
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
