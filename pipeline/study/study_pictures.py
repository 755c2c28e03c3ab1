"""Pictures beside results.json: a few images of each source with their masks, and samples that are
suspiciously near to a training image beside it.

The first show synthetic images alone, and so may leave the workspace: real ones belong to their
owners, and of a source that hands those out none is shown. The second stay in the workspace."""

from __future__ import annotations

import csv
import io
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
from vesselforge.pipeline.study.schema import Copy, Samples
from vesselforge.pipeline.study.study_works import Origin

Pixels = NDArray[np.uint8]
SHOWN = 8
CELL_PX = 192
"""No image of a sheet is larger: three times a patch of 64, a third of DRIVE's width."""
GAP_PX = 6
SHEETS = "samples-*.png"
GREY = 128
PRIVATE = "these are real images, which belong to their owners"


def write_samples(study: Study, folder: Path) -> list[Samples]:
    """Write samples-<source>.png for each source, of one of its origins, if it can be of one with
    as many real images as the arms that decide; say what it shows."""
    for old in folder.glob(SHEETS):
        old.unlink()
    deciding = study.plan.config.statistics.primary_real_images
    sources: dict[str, list[Origin]] = {}
    for origin in sorted(study.used, key=lambda one: one.real_images not in deciding):
        sources.setdefault(origin.source, []).append(origin)
    return [_of_source(study, name, origins, folder) for name, origins in sources.items()]


def _of_source(study: Study, name: str, origins: Sequence[Origin], folder: Path) -> Samples:
    if study.plan.photographs(origins[0]):
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
            return Samples(source=name, picture=picture, caption=caption)
    return Samples(source=name, caption="no image of it was made")


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


MOST = 24
"""Pairs shown for each source; all of them are in closest.csv of the scores."""
PICTURES = "pictures"


def suspicious(study: Study, folder: Path) -> list[Copy]:
    """The samples of each source that are called suspicious, nearest first, MOST of each.

    Where a filter looks for copies these are of all samples that were drawn, kept or not; else
    of the largest selection. Pictures of pairs are copied into `folder/pictures/`; they show
    training images and stay in the workspace.
    """
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    found: list[Copy] = []
    for number, origin in enumerate(study.plan.origins()):
        pools = study.used.get(origin, [])
        made = [a for pool in pools if (a := study.executor.artifact(pool)) is not None]
        labels = {row["id"]: row for artifact in made for row in _table(artifact, "labels.csv")}
        near = [
            (float(row["distance"]), f"s{number}-{at}-", row, scores)
            for at, scores in enumerate(_scores(study, origin))
            for row in _table(scores, "closest.csv")
            if row["suspicious"] == "1"
        ]
        for distance, prefix, row, scores in sorted(near, key=lambda one: one[0])[:MOST]:
            label = labels.get(row["sample"], {})
            file = scores.path / "pairs" / f"{row['rank']}.png"
            picture = f"{prefix}{file.name}" if file.is_file() else ""
            if picture:
                (folder / PICTURES).mkdir(exist_ok=True)
                shutil.copyfile(file, folder / PICTURES / picture)
            found.append(
                Copy(
                    source=origin.name,
                    sample=row["sample"],
                    image=row["image"],
                    distance=distance,
                    rejected=label.get("reason", ""),
                    picture=picture,
                )
            )
    return found


def _scores(study: Study, origin: Origin) -> list[Artifact]:
    """The scores that tell suspicious samples of a source."""
    works = [study.plan.pool_scores(origin, n) for n in range(len(study.used.get(origin, [])))]
    if not any(works):
        works = [study.realism().get((origin, study.plan.origins()[origin]))]
    made = [study.executor.artifact(work) for work in works if work is not None]
    return [artifact for artifact in made if artifact is not None]


def _table(artifact: Artifact, name: str) -> list[dict[str, str]]:
    path = artifact.path / name
    return list(csv.DictReader(io.StringIO(path.read_text()))) if path.is_file() else []
