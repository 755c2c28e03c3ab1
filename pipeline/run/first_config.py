"""`vesselforge init`: a config for a folder of images, with what was found there as comments."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesselforge.configs.base import as_given
from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.load import find, validate
from vesselforge.configs.plain_yaml import parse
from vesselforge.configs.settings import DataSettings, PipelineConfig
from vesselforge.data.datasets import load_settings, named_settings
from vesselforge.data.layouts.check import Report, check
from vesselforge.data.layouts.fellow_eyes import group_of_eyes
from vesselforge.data.layouts.own_splits import list_in
from vesselforge.data.layouts.splits import SPLITS
from vesselforge.engine.documents import spelled
from vesselforge.engine.files import write_atomic
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import explained
from vesselforge.pipeline.run.finetuning import name_of, with_folds

MODEL_CONFIG = "drive-cpu"
"""The shipped config whose recipe is taken over: phantoms like the images, in every batch."""
FEW = 50
"""Images below which a cross-validation is what to report."""

HEAD = """\
# A first config for {folder}, written by `vesselforge init`: change what you like.
#   vesselforge run {file} --dry-run    what it would do, and about how long
#   vesselforge run {file}              does it; after a stop the same command goes on
# What a setting means: `vesselforge settings teacher`, `vesselforge settings data.folds`, …
name: {name}

# {found}
data:
{data}"""
GROUPED = "  # Names look like both eyes of one patient: these stay in one split.\n"
FOLDED = """\
  # So few images: a score to report is that of a cross-validation, {folds} times the work.
  # folds: {folds}
"""
RECIPE = "\n# The recipe of `{config}`: one training of a teacher, and one of a student that sees \
phantoms, too.\n"


def first_config(
    folder: str,
    out: Path | None,
    pattern: str | None,
    mask_values: Mapping[str, str] | None,
    progress: Progress,
) -> tuple[Path, list[str]]:
    """Check the images in a folder and write a config for them; returns its path and what was
    found, in words.

    out: default `<folder's name>.yaml` here. Raises ConfigError where a file of that name is,
    DataError for images that cannot be trained on, as `data check` does.
    """
    name = name_of(folder)
    file = out or Path(f"{name}.yaml")
    if file.exists() or file.is_symlink():
        raise ConfigError(f"{file}: is there already; name another file with -o")
    data = named_settings(folder, pattern=pattern, mask_values=mask_values)
    if data.name == "images":
        raise DataError(
            f"{folder}: found no vessel masks, expected images and masks: `vesselforge run` learns "
            "from masks; `vesselforge data check` says what was recognised"
        )
    data, grouped = _grouped(data)
    report = check(load_settings(data, lenient=True), progress=progress)
    report.raise_first()
    found = _in_words(report)
    values = {name: value for name, value in as_given(data).items() if value}
    values |= {} if data.root is None else {"root": str(data.root.absolute())}
    folds = with_folds(data).folds if len(report.rows) < FEW else None
    names = {"folder": spelled(folder), "file": shlex.quote(spelled(file)), "name": name}
    text = HEAD.format(**names, found=found, data=_lines(values, grouped, folds))
    text += RECIPE.format(config=MODEL_CONFIG) + _recipe(report)
    validate(PipelineConfig, parse(text), str(file))
    with explained(file, named=True):
        write_atomic(file, text)
    return file, [found, *(f"warning: {problem}" for problem in report.warnings)]


def _grouped(data: DataSettings) -> tuple[DataSettings, bool]:
    """With data.group, where names look like fellow eyes and no splits.csv says who they are."""
    if data.name != "paired" or (data.root is not None and list_in(data.root).is_file()):
        return data, False
    group = group_of_eyes([item.id for item in load_settings(data, lenient=True)])
    if not group:
        return data, False
    return validate(DataSettings, as_given(data) | {"group": group}, "data.group"), True


def _in_words(report: Report) -> str:
    """`24 images, 584 x 565 pixels: 15 train, 4 validation, 5 test.`"""
    sizes = sorted((row.height or 0, row.width or 0) for row in report.rows)
    among = " to ".join(f"{h} x {w}" for h, w in dict.fromkeys([sizes[0], sizes[-1]]))
    counts = {split: sum(row.split == split for row in report.rows) for split in SPLITS}
    dealt = ", ".join(f"{count} {split}" for split, count in counts.items())
    return f"{len(sizes)} images of {among} pixels (height x width): {dealt}."


def _lines(values: Mapping[str, Any], grouped: bool, folds: int | None) -> str:
    """The group `data` as YAML, its settings with the reasons for them."""
    told = ""
    for name, value in values.items():
        word = isinstance(value, str) and value.isidentifier()
        text = value if word else json.dumps(value, ensure_ascii=False)  # which is YAML, too
        told += (GROUPED if grouped and name == "group" else "") + f"  {name}: {text}\n"
    return told + (FOLDED.format(folds=folds) if folds else "")


def _recipe(report: Report) -> str:
    """All but name and images, from the shipped config; crops that fit into the smallest image."""
    text = find(MODEL_CONFIG).read_text("utf-8")
    recipe = text[text.index("teacher:") :]
    side = min(min(row.height or 0, row.width or 0) for row in report.rows)
    crop = PipelineConfig.model_validate(parse(text)).teacher.crop
    return recipe.replace(f"crop: {crop}", f"crop: {min(crop, side // 8 * 8)}")
