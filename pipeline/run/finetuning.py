"""`vesselforge finetune`: the settings of the run that fits a model to a folder of images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselforge import pretrained
from vesselforge.configs.catalogue import NAMED
from vesselforge.configs.errors import ConfigError, DataError, UserError
from vesselforge.configs.load import load, validate
from vesselforge.configs.settings import DataSettings, PipelineConfig
from vesselforge.data.datasets import load_settings
from vesselforge.pipeline.models.publishing import NAME
from vesselforge.pipeline.places import REGISTRY
from vesselforge.pipeline.record import holds_model, model_folder
from vesselforge.pipeline.starts import network_of

FOLDS = 5
CONFIG = "finetune"
"""The shipped config; all that is not said otherwise is as there."""


def finetune_config(
    model: Path,
    images: str,
    workspace: Path,
    given: Mapping[str, Any],
    folds: int | None = None,
    overrides: Sequence[str] = (),
) -> PipelineConfig:
    """The run that fits a model to images, cross-validated where that can be.

    model: by name, run or folder; images: a folder, or a dataset by name. given: setting → value;
    what is None is left as it is. folds: 1 for a single split; None: FOLDS, if need be fewer.
    overrides: `a.b=value`, which come last. Raises ConfigError for a
    name of the run that a model cannot have, UserError for a model that cannot be trained on.
    """
    try:
        network, _ = network_of(folder := model_folder(model, workspace=workspace, single=True))
    except UserError as error:
        raise type(error)(f"MODEL: {error}") from None
    data = {"name": images} if images in NAMED else {"name": "paired", "root": images}
    start = str(folder.absolute() if holds_model(model) else model)
    values: dict[str, Any] = {"name": f"{name_of(images)}-finetuned"}
    values |= {f"data.{name}": value for name, value in data.items()}
    values |= {
        "teacher.start_from": start,
        "teacher.network": network,
        "teacher.drop": drop_of(folder),
    }
    values |= {name: value for name, value in given.items() if value is not None}
    values |= {} if folds in (None, 1) else {"data.folds": folds}
    said = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    config = load(PipelineConfig, CONFIG, [*said, *overrides])
    check_name(config.name, workspace)
    if folds is None and config.data.folds is None:
        config = config.model_copy(update={"data": with_folds(config.data)})
    return config


def with_folds(data: DataSettings) -> DataSettings:
    """The same images in FOLDS, or in as many as there are groups; as they are where the dataset,
    or a splits.csv with splits, says what the test is, and where there are too few for any fold."""
    if data.name != "paired":
        return data
    for folds in range(FOLDS, 1, -1):
        try:
            load_settings(
                validate(DataSettings, data.model_dump() | {"folds": folds, "fold": 0}, "")
            )
        except (ConfigError, DataError):
            continue
        return data.model_copy(update={"folds": folds})
    return data


def drop_of(folder: Path) -> float | None:
    """The drop rate that a model's network was trained with; None for the network's own."""
    described = json.loads((folder / "model.json").read_text("utf-8"))
    found: float | None = described["members"][0]["options"].get("drop")
    return found


def name_of(images: str) -> str:
    """A folder's name as that of a run or model."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(images).absolute().name.lower()).strip("-")
    return name[:50].strip("-") or "images"


def check_name(name: str, workspace: Path) -> None:
    """Raise ConfigError for a name that the model could not be given hours later."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name: found {name!r}, expected a-z, 0-9 and single dashes")
    if name in pretrained.names():
        raise ConfigError(f"--name: {name} comes with VesselForge; choose another name")
    if (workspace / "models" / name / REGISTRY).is_file():
        raise ConfigError(
            f"--name: {name} is a line of models that `vesselforge retrain` keeps in {workspace}; "
            "choose another name"
        )
