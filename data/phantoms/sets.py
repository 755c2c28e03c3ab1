"""Sets of phantoms: as a dataset, as a folder of files, and the stage `data.phantom`.

The stage fills an image set, each image determined by its own number; images are written one by
one, and those already whole are kept when it is run again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PhantomSettings
from vesselforge.configs.sources import PhantomDrawSettings
from vesselforge.data.formats.images import read_picture
from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import (
    ImageRecord,
    load_image,
    read_index,
    write_index,
    write_mask,
    write_png,
)
from vesselforge.data.layouts.items import PhantomItem
from vesselforge.data.layouts.splits import SPLITS, TRAIN
from vesselforge.data.phantoms.appearance import GENERIC, Appearance
from vesselforge.data.phantoms.draw import Phantom, make_phantom
from vesselforge.data.phantoms.fitted import fit_appearance
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import write_atomic, write_json
from vesselforge.engine.progress import Interrupted, Progress

APPEARANCE, GRID = "appearance.json", "grid.png"
PARTS = ("images", "masks", "fov")
GENERIC_SIZE = 540
"""Side in pixels at which the generic field of view is as large as DRIVE's."""
SHOWN, SHOWN_PIXELS = 12, 256
"""Phantoms on the sheet, and about the side of each there at most."""


def phantom_items(settings: PhantomSettings) -> Iterator[PhantomItem]:
    """The set as items, whose paths are names only; more images never change earlier ones."""
    counts = (settings.train, settings.validation, settings.test)
    for place, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
        for number in range(count):
            words = np.random.SeedSequence([settings.seed, place, number]).generate_state(1)
            id_ = f"{split}-{number:04d}"
            image, mask, fov = (Path(part, f"{id_}.png") for part in PARTS)
            yield PhantomItem(
                id_, split, image, {"exact": mask}, fov, seed=int(words[0]), size=settings.size
            )


def write_phantoms(
    folder: Path,
    settings: PhantomSettings,
    appearance: Appearance = GENERIC,
    randomise: float = 0.0,
) -> list[str]:
    """Write the whole set as images/, masks/, fov/ (the layout `paired`); returns the ids.

    Phantoms of these ids are replaced. Raises DataError for a folder with any other file: the set
    would be mixed with it."""
    items = list(phantom_items(settings))
    own = {folder / part / f"{item.id}.png" for item in items for part in PARTS}
    for path in folder.rglob("*"):
        if path not in own and path.is_file() and not path.name.startswith("."):
            raise DataError(
                f"{folder}: found {path.relative_to(folder)}, which is none of the {len(items)} "
                "phantoms to write, expected a new folder: name another one, or remove this one"
            )
    for item in items:
        made = make_phantom(item.seed, item.size, appearance, randomise)
        write_phantom(folder, item.id, made)
    return [item.id for item in items]


def write_phantom(folder: Path, id_: str, phantom: Phantom) -> None:
    """images/, masks/ and fov/ID.png; the image last, so that one that is there means all are."""
    write_mask(folder / "masks" / f"{id_}.png", phantom.mask)
    write_mask(folder / "fov" / f"{id_}.png", phantom.fov)
    # Noise does not compress: level 6 saves a seventh more and takes longer than half a phantom.
    write_png(folder / "images" / f"{id_}.png", phantom.image, level=3)


def draw(settings: PhantomDrawSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with images/, masks/, fov/, grid.png, metrics.json, index.json, and
    appearance.json where it is fitted.

    inputs: `images`, an image set, for `appearance: fitted` alone; only its training images are
    read. Raises DataError when none can be measured, Interrupted when asked to stop.
    """
    appearance = _appearance(settings, inputs, out, progress)
    size = settings.size or appearance.side or GENERIC_SIZE
    records = []
    for number in range(settings.seed, settings.seed + settings.count):
        id_ = f"phantom{number:010d}"
        image, mask, fov = (f"{part}/{id_}.png" for part in PARTS)
        records.append(ImageRecord(id_, TRAIN, image, mask=mask, fov=fov))
    # Each file was written aside and renamed, so one that is there is whole.
    missing = [r.id for r in records if not (out / r.image).is_file()]
    workers = os.cpu_count() or 1

    def make(id_: str) -> None:
        words = np.random.SeedSequence(int(id_.removeprefix("phantom"))).generate_state(2)
        seed = int(words[0]) << 32 | int(words[1])
        write_phantom(out, id_, make_phantom(seed, size, appearance, settings.randomise))

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(missing), 4 * workers):
            done = len(records) - len(missing) + start
            progress.update(done, len(records), "images")
            if progress.stop_requested:
                raise Interrupted(f"drawing stopped after {done} of {len(records)} images")
            list(pool.map(make, missing[start : start + 4 * workers]))
    write_png(out / GRID, _sheet(out, records[:SHOWN]))
    write_json(out / METRICS, {"count": settings.count, "size": size})
    write_index(out, "phantoms", records)
    progress.update(len(records), len(records), "images")


def _appearance(
    settings: PhantomDrawSettings, inputs: Inputs, out: Path, progress: Progress
) -> Appearance:
    if settings.appearance == "generic":
        return GENERIC
    path = out / APPEARANCE
    if not path.is_file():  # it is there when the work goes on
        folder = inputs["images"].path
        training = [load_image(folder, r, soft=False) for r in read_index(folder, TRAIN)]
        progress.message(f"measuring {len(training)} training images")
        write_atomic(path, fit_appearance(training).model_dump_json(indent=1) + "\n")
    return Appearance.model_validate_json(path.read_text())


def _sheet(out: Path, records: Sequence[ImageRecord]) -> NDArray[np.uint8]:
    """[H, W, 3] images, each with its mask on the right, from the files."""
    pairs = []
    for record in records:
        both = [read_picture(out / str(name)).rgb() for name in (record.image, record.mask)]
        step = max(1, len(both[0]) // SHOWN_PIXELS)
        pair = Image.fromarray(np.concatenate(both, axis=1)).reduce(step)
        pairs.append(np.asarray(pair).transpose(2, 0, 1))
    return grid_of(np.stack(pairs))
