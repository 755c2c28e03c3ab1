"""Several segmenters as one: their probabilities or decisions combined, with a threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import EnsembleSettings
from vesselforge.data.imageset import load_image, read_index
from vesselforge.data.layouts.splits import VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.combine import DECIDED, MEAN, Rule
from vesselforge.segmenter.components import ALL
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.model_files import Member, read_description, read_members, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import choose_pieces, choose_threshold, maps_of, truths

DESCRIPTION = "ensemble.json"


def ensemble(settings: EnsembleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.ensemble`. inputs: `validation` (an image set), all others models.

    Copies the members' weights, so that the folder is a model of its own. The threshold is chosen
    on the validation images, of maps that are calibrated where their members are; `or`, `and` and
    `majority` take each member's threshold as it is in its folder. Where a member has a rule of
    components, so has the ensemble: its own, chosen there, too. metrics.json says what was chosen,
    with the validation F1 (pooled, inside the FOV) of the ensemble and of each member at its
    threshold, before any rule of components. Raises CheckpointError for a member that is no single
    network.
    """
    names = sorted(inputs.keys() - {VALIDATION})
    members: list[tuple[Member, dict[str, Tensor]]] = []
    thresholds: list[float] = []
    for name in names:
        member, tensors, threshold = _single(inputs[name].path, name)
        members.append((replace(member, file=f"members/{name}.safetensors"), tensors))
        thresholds.append(threshold)
    save_model(out, members, DECIDED, DESCRIPTION)  # the threshold is chosen with this model
    folder = inputs[VALIDATION].path
    images = [load_image(folder, record) for record in read_index(folder, VALIDATION)]
    maps = maps_of(Model.load(out), images, progress)
    rule = MEAN if settings.method == "mean" else Rule(settings.method, tuple(thresholds))
    threshold, f1 = choose_threshold(rule, maps, images)
    ruled = any(read_description(inputs[name].path).components != ALL for name in names)
    components = choose_pieces(rule, maps, images, threshold) if ruled else ALL
    save_model(out, members, threshold, DESCRIPTION, rule, components)
    each = {
        name: {"f1": round(pooled_f1([m[i] >= own for m in maps], *truths(images)), 6)}
        | {"threshold": own}
        for i, (name, own) in enumerate(zip(names, thresholds, strict=True))
    }
    result: dict[str, Any] = {"method": rule.method, "members": len(members), "each": each}
    result["validation"] = {"f1": round(f1, 6), "threshold": threshold}
    result |= {} if components == ALL else {"components": components.as_json()}
    write_json(out / METRICS, result)


def _single(folder: Path, name: str) -> tuple[Member, dict[str, Tensor], float]:
    members, threshold = read_members(folder)
    if len(members) != 1:
        raise CheckpointError(
            f"{folder}: found an ensemble of {len(members)} networks as the member {name!r}, "
            "expected a single network; give its members instead"
        )
    if not 0 < threshold < 1:
        raise CheckpointError(
            f"{folder}: found the threshold {threshold:g}, expected it between 0 and 1"
        )
    return *members[0], threshold
