"""Several segmenters as one: their probabilities or decisions combined, with a threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import EnsembleSettings
from vesselforge.data.imageset import load_image, read_index
from vesselforge.data.layouts.splits import VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.combine import DECIDED, MEAN, Rule
from vesselforge.segmenter.components import ALL
from vesselforge.segmenter.inference.showing import showing
from vesselforge.segmenter.magnification import shared
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.model_files import read_description, restore, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import (
    choose_seen_pieces,
    choose_threshold,
    maps_of,
    truths,
)


def ensemble(settings: EnsembleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.ensemble`. inputs: `validation` (an image set), all others models.

    Copies the members' weights, so that the folder is a model of its own. The threshold is chosen
    on the validation images, of maps that are calibrated where their members are; `or`, `and` and
    `majority` take each member's threshold as it is in its folder. Where a member has a rule of
    components, so has the ensemble: its own, chosen there, too. metrics.json says what was chosen,
    with the validation F1 (pooled, inside the FOV) of the ensemble and of each member at its
    threshold, before any rule of components. Raises CheckpointError for a member that is no single
    network, and for members of several magnifications.
    """
    alone = {
        name: read_description(inputs[name].path) for name in sorted(inputs.keys() - {VALIDATION})
    }
    members, networks = [], []
    for name, described in alone.items():
        if len(described.members) != 1:
            raise CheckpointError(
                f"{inputs[name].path}: found an ensemble of {len(described.members)} networks as "
                f"the member {name!r}, expected a single network; give its members instead"
            )
        (member,) = described.members
        networks.append(restore(inputs[name].path, member))
        member = replace(member, file=f"members/{name}.safetensors")
        members.append((member, networks[-1].state_dict()))
    folder = inputs[VALIDATION].path
    images = [load_image(folder, record) for record in read_index(folder, VALIDATION)]
    known = shared({name: described.magnification for name, described in alone.items()})
    model = Model(networks, DECIDED, pick_device(), magnification=known)
    scales = [showing(model, image.image, image.fov).scale for image in images]
    maps = maps_of(model, images, progress, scales)
    thresholds = tuple(described.threshold for described in alone.values())
    rule = MEAN if settings.method == "mean" else Rule(settings.method, thresholds)
    threshold, f1 = choose_threshold(rule, maps, images)
    ruled = any(described.components != ALL for described in alone.values())
    shown = maps, images, scales
    components = choose_seen_pieces(model, rule, threshold, *shown) if ruled else ALL
    save_model(out, members, threshold, rule, components, known)
    each = {
        name: {"f1": round(pooled_f1([m[i] >= own for m in maps], *truths(images)), 6)}
        | {"threshold": own}
        for i, (name, own) in enumerate(zip(alone, thresholds, strict=True))
    }
    result: dict[str, Any] = {"method": rule.method, "members": len(members), "each": each}
    result["validation"] = {"f1": round(f1, 6), "threshold": threshold}
    write_json(out / METRICS, result | components.said())
