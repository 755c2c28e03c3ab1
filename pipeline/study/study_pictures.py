"""Pictures beside results.json: a few images of each source with their masks, and its samples that
are nearest to a training image beside it.

The first show synthetic images alone, and so may leave the workspace: real ones belong to their
owners, and of a source that hands those out none is shown. The second stay in the workspace."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vesselforge.configs.sources import SourceSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index, write_png
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.pipeline.study.conduct import StudyFold
from vesselforge.pipeline.study.schema import Samples
from vesselforge.pipeline.study.study_works import Origin

Pixels = NDArray[np.uint8]
SHOWN = 8
CELL_PX = 192
"""No image of a sheet is larger: three times a patch of 64, a third of DRIVE's width."""
GAP_PX = 6
SHEETS = ("samples-*.png", "nearest-*.png")
GREY = 128
PRIVATE = "these are real images, which belong to their owners"


def write_samples(study: StudyFold, folder: Path) -> list[Samples]:
    """Write samples-<source>.png and nearest-<source>.png for each source, of the first of its
    origins that has images; say what they show."""
    remove_sheets(folder)
    found: dict[str, Samples] = {}
    for origin in study.used:
        earlier = found.get(origin.source)
        if earlier is None or not earlier.picture:
            found[origin.source] = _of_origin(study, origin, folder)
    return list(found.values())


def remove_sheets(folder: Path) -> None:
    """Delete what an earlier run of the study left."""
    for old in (path for pattern in SHEETS for path in folder.glob(pattern)):
        old.unlink()


def _of_origin(study: StudyFold, origin: Origin, folder: Path) -> Samples:
    name = origin.source
    if study.plan.limited(origin):
        return Samples(source=name, caption=PRIVATE)
    pools = [m for m in map(study.executor.artifact, study.used[origin]) if m is not None]
    kept, rejected = (sum(p.metrics[key] for p in pools) for key in ("kept", "rejected"))
    records = (
        (pool.path, record)
        for pool in pools
        for record in read_index(pool.path)
        if (record.split == TRAIN) == (kept > 0)
    )  # in the order in which they were drawn
    shown = [load_image(*record) for record in islice(records, SHOWN)]
    if not shown:
        return Samples(source=name, caption="no image of it was made")
    pixels, scale = sheet(shown)
    write_png(folder / f"samples-{name}.png", pixels)
    which = f"{kept:,} that were kept" if kept else f"{rejected:,}, all of them rejected"
    what = f"the first {len(shown)} of the {which}, above {_label(study.plan.config.sources[name])}"
    scoring, nearest = study.scores.get(origin), ""
    scores = scoring and study.executor.artifact(scoring)
    if scores and (scores.path / "closest.png").is_file():
        nearest = f"nearest-{name}.png"
        shutil.copyfile(scores.path / "closest.png", folder / nearest)
    caption = f"{study.plan.name(origin)}: {what}. {scale}"
    return Samples(source=name, picture=f"samples-{name}.png", caption=caption, nearest=nearest)


def _label(source: SourceSettings) -> str:
    whose = "what the teacher sees in them" if source.labels == "teacher" else "their own masks"
    return f"{whose}, turned by 180° as a negative control" if source.turned_masks else whose


def sheet(images: Sequence[LoadedImage]) -> tuple[Pixels, str]:
    """The images, of one size, in a row [H, W, 3] and their labels (white = vessel) in a row below;
    and how they are scaled, in a sentence: enlarged by a whole number without smoothing, or
    reduced, until one fills a cell."""
    height, width = images[0].image.shape[:2]
    factor = CELL_PX // max(height, width) or CELL_PX / max(height, width)
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    rows = []
    for row in ([one.image for one in images], [one.target for one in images]):
        layers = [Image.fromarray(layer).convert("RGB") for layer in row if layer is not None]
        scaled = [ImageOps.scale(layer, factor, how) for layer in layers]
        framed = [ImageOps.expand(layer, (0, 0, GAP_PX, GAP_PX), (GREY,) * 3) for layer in scaled]
        rows.append(np.concatenate(list(map(np.asarray, framed)), axis=1))
    said = ", shown smaller" if factor < 1 else f", enlarged {factor} times" if factor > 1 else ""
    picture = np.concatenate(rows)[:-GAP_PX, :-GAP_PX]
    return picture, f"{width}×{height} pixels each{said}."
