"""Pictures beside results.json: a few images of each source with their masks, and its samples that
are nearest to a training image beside it.

The first show synthetic images alone, and so may leave the workspace: real ones belong to their
owners, and of a source that hands those out none is shown. The second stay in the workspace."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.sources import SourceSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index, write_png
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.study.conduct import Study
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


def write_samples(study: Study, folder: Path) -> list[Samples]:
    """Write samples-<source>.png and nearest-<source>.png for each source, of the first of its
    origins that has images; say what they show."""
    remove_sheets(folder)
    sources: dict[str, list[Origin]] = {}
    for origin in study.used:
        sources.setdefault(origin.source, []).append(origin)
    return [_of_source(study, name, origins, folder) for name, origins in sources.items()]


def remove_sheets(folder: Path) -> None:
    """Delete what an earlier run of the study left."""
    for old in (path for pattern in SHEETS for path in folder.glob(pattern)):
        old.unlink()


def _of_source(study: Study, name: str, origins: Sequence[Origin], folder: Path) -> Samples:
    if study.plan.limited(origins[0]):
        return Samples(source=name, caption=PRIVATE)
    for origin in origins:
        pools = [m for m in map(study.executor.artifact, study.used[origin]) if m is not None]
        kept, rejected = (sum(p.metrics[key] for p in pools) for key in ("kept", "rejected"))
        shown = _first(pools, kept=kept > 0)
        if shown:
            pixels, scale = sheet(shown)
            picture = f"samples-{name}.png"
            write_png(folder / picture, pixels)
            which = f"{kept:,} that were kept" if kept else f"{rejected:,}, all of them rejected"
            label = _label(study.plan.config.sources[name])
            what = f"the first {len(shown)} of the {which}, above {label}"
            caption = f"{origin.name}: {what}. {scale}"
            nearest = _nearest(study, origin, folder)
            return Samples(source=name, picture=picture, caption=caption, nearest=nearest)
    return Samples(source=name, caption="no image of it was made")


def _nearest(study: Study, origin: Origin, folder: Path) -> str:
    """The name of the sheet of pairs that the scores of an origin's images hold; empty for none."""
    work = study.realism(origin)
    scores = None if work is None else study.executor.artifact(work)
    if scores is None or not (scores.path / "closest.png").is_file():
        return ""
    name = f"nearest-{origin.source}.png"
    shutil.copyfile(scores.path / "closest.png", folder / name)
    return name


def _label(source: SourceSettings) -> str:
    whose = "what the teacher sees in them" if source.labels == "teacher" else "their own masks"
    return f"{whose}, turned by 180° as a negative control" if source.turned_masks else whose


def _first(pools: Sequence[Artifact], kept: bool) -> list[LoadedImage]:
    """The first SHOWN that were kept, or that were not, in the order in which they were drawn."""
    found: list[LoadedImage] = []
    for pool in pools:
        records = [r for r in read_index(pool.path) if (r.split == TRAIN) == kept]
        found += [load_image(pool.path, r) for r in records[: SHOWN - len(found)]]
    return found


def sheet(images: Sequence[LoadedImage]) -> tuple[Pixels, str]:
    """The images in a row [H, W, 3] and their labels (white = vessel) in a row below; and how they
    are scaled, in a sentence: all alike, enlarged by a whole number without smoothing, or reduced,
    until the largest fills a cell."""
    height, width = np.max([one.image.shape[:2] for one in images], axis=0).tolist()
    factor = CELL_PX // max(height, width) or CELL_PX / max(height, width)
    pairs = [(_scaled(one.image, factor), _scaled(_label_of(one), factor)) for one in images]
    across, down = np.max([image.size for image, _ in pairs], axis=0).tolist()
    step_x, step_y = across + GAP_PX, down + GAP_PX
    picture = Image.new("RGB", (len(images) * step_x - GAP_PX, down + step_y), (GREY,) * 3)
    for column, pair in enumerate(pairs):
        for row, layer in enumerate(pair):
            picture.paste(layer, (column * step_x, row * step_y))
    how = ", shown smaller" if factor < 1 else f", enlarged {factor} times" if factor > 1 else ""
    return np.asarray(picture), f"{width}×{height} pixels each{how}."


def _scaled(layer: Pixels, factor: float) -> Image.Image:
    size = [max(1, round(factor * n)) for n in layer.shape[1::-1]]
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return Image.fromarray(layer).resize((size[0], size[1]), how)


def _label_of(image: LoadedImage) -> Pixels:
    """What a student learns from, in grey [H, W]."""
    assert image.target is not None  # a set of labelled images has nothing else
    return image.target
