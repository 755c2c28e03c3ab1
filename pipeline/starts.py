"""Models that trainings begin with: found by name, checked before any work, copied into the store.

The copy is an input of the training. A later change of the folder makes another address, and takes
nothing from what was made before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import ConfigError, DataError, UserError
from vesselforge.configs.settings import PipelineConfig, SegmenterSettings, StartSettings
from vesselforge.configs.sources import NoSource
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.documents import inside, read_object, records
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import model_folder
from vesselforge.pipeline.sources import Config

KIND, STEP = "segmenter.start", "start: "
DESCRIPTION = "model.json"
OF_TRAINING = {"drop", "block"}
"""Options of DropBlock, which no weight depends on: every training sets its own."""


def start_work(
    setting: str, given: Path, recipe: SegmenterSettings, workspace: Path | None = None
) -> Work:
    """The work that copies the model which a setting names. recipe: of the training that begins
    with it. Raises ConfigError, naming both, for another network; UserError for what is no model of
    one network."""
    try:
        folder = model_folder(given, workspace=workspace, single=True).absolute()
        network, options = network_of(folder)
    except UserError as error:
        raise type(error)(f"{setting}: {error}") from None
    of_model = f"the model {given} is {_words(network, options)}"
    if network != recipe.network:
        raise ConfigError(
            f"{setting}: {of_model}, and the training is of {recipe.network}; set network: "
            f"{network}, choose a model of {recipe.network}, or leave start_from out"
        )
    if options:
        raise ConfigError(
            f"{setting}: {of_model}, and the training is of {recipe.network} without options; "
            "only networks as they are offered by name can be trained on"
        )
    settings = StartSettings(model=folder)
    return Work(f"{STEP}{given}", KIND, settings, {}, outside(settings))


def network_of(folder: Path) -> tuple[str, dict[str, Any]]:
    """The network of a model's folder and its options, but for those of training. Raises DataError
    for an ensemble, CheckpointError or WorkspaceError for what is no model. Reads no weights."""
    if not (folder / DESCRIPTION).is_file() and (folder / "ensemble.json").is_file():
        raise DataError(
            f"{folder}: an ensemble cannot be trained on, expected a model of one network; give "
            "one of its members as a folder"
        )
    path = folder / DESCRIPTION
    found = read_object(path, "the description of a model, in a model's folder", DataError)
    members = records(found.get("members"))
    options = members[0].get("options") if len(members) == 1 else None
    if not isinstance(options, dict) or not isinstance(members[0].get("network"), str):
        raise DataError(f"{path}: found {len(members)} networks, expected the description of one")
    return members[0]["network"], {k: v for k, v in options.items() if k not in OF_TRAINING}


def _words(network: str, options: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in options.items())
    return f"{network} with {said}" if said else network


def outside(settings: StartSettings) -> dict[str, str]:
    """What the stage reads outside the store, as in the address of its artifact: description and
    weights, whatever else lies beside them. Raises DataError for files that cannot be read."""
    try:
        content = {name: file_sha256(path) for name, path in _files(settings.model).items()}
    except OSError as error:
        raise DataError(f"{settings.model} cannot be read ({error.strerror})") from error
    return {"model": hashlib.sha256(json.dumps(content).encode()).hexdigest()}


def _files(folder: Path) -> dict[str, Path]:
    """Description and weights by their relative names."""
    described = read_object(folder / DESCRIPTION, "the description of a model", DataError)
    names = [member.get("file") for member in records(described.get("members"))]
    weights = {str(name): inside(folder, name, folder / DESCRIPTION) for name in names}
    return {DESCRIPTION: folder / DESCRIPTION, **weights}


def copy(settings: StartSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.start`: a model's description and weights as they are, and nothing else of
    its folder. Raises CheckpointError for weights that are damaged or not the network's."""
    from vesselforge.segmenter.model_files import read_description, restore

    (member,) = read_description(settings.model).members
    restore(settings.model, member)
    for name, path in _files(settings.model).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / name)
    write_json(out / METRICS, {"network": member.network})


def starts(config: Config) -> Iterator[tuple[str, Path, SegmenterSettings]]:
    """The settings of a config that name a model to begin with: setting, model, and the recipe that
    begins with it. A student that begins as its teacher is named as the teacher."""
    alone = isinstance(config, PipelineConfig) and isinstance(config.source, NoSource)
    first, second = config.phases
    own = config.finetune.start_from
    named = {"teacher": config.teacher}
    if not alone:
        same = config.pretrain.start_from is None
        named["student" if same else "pretrain"] = first
        named |= {"finetune": second} if own is not None else {}
    for name, recipe in named.items():
        if recipe.begins_with is not None:
            yield f"{name}.start_from", recipe.begins_with, recipe
