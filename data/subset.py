"""The stage that takes so many training images out of one or several image sets."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import SubsetSettings
from vesselforge.data.imageset import (
    ImageRecord,
    files_of,
    read_classes,
    read_index,
    write_index,
)
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import link_file, write_json
from vesselforge.engine.progress import Interrupted, Progress

REJECTED = "rejected"
Found = tuple[Path, ImageRecord]


def subset(settings: SubsetSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `data.subset`. inputs: image sets by any names, taken in the order of the names.

    Writes an image set with `settings.count` of their training images and all images of the other
    splits; those with split `rejected` are dropped. With `rest` it is the other training images,
    without labels, and nothing else. Files are links. Raises DataError for fewer
    training images than that, for an id or a file name that occurs in two inputs, and for inputs
    with other classes.
    """
    found = _all_records(inputs)
    training = [record.id for _, record in found if record.split == TRAIN]
    if len(training) < settings.count:
        raise DataError(
            f"{', '.join(sorted(inputs))}: found {len(training)} training images, expected "
            f"{settings.count} (`count`); ask for fewer, or, of synthetic images, loosen the "
            "filters of `pseudo_label` or train the generator longer"
        )
    if settings.order == "drawn":
        training.sort(key=lambda id_: _rank(settings.seed, id_))
    chosen = set(training[: settings.count])
    if settings.rest:
        kept = [
            (folder, replace(record, mask=None, soft=None, weight=None, ignored=None, observers={}))
            for folder, record in found
            if record.split == TRAIN and record.id not in chosen
        ]
    else:
        kept = [(f, r) for f, r in found if r.split != TRAIN or r.id in chosen]
    for done, (folder, record) in enumerate(kept, start=1):
        if progress.stop_requested:
            raise Interrupted
        for name in files_of(record):
            link_file(folder / name, out / name)
        progress.update(done, len(kept), "image")
    classes = {name: read_classes(inputs[name].path) for name in sorted(inputs)}
    first, *others = classes.values()
    if any(other != first for other in others):
        raise DataError(
            f"data.subset: found inputs with different classes, {classes}; take one each"
        )
    splits = Counter(record.split for _, record in kept)
    write_json(out / METRICS, {"images": {TRAIN: 0, VALIDATION: 0} | splits})
    write_index(out, "subset", [record for _, record in kept], first)


def _all_records(inputs: Inputs) -> list[Found]:
    """The records of all inputs but the rejected, with their folders."""
    found: list[Found] = []
    owners: dict[str, str] = {}  # id or file name → input
    for name in sorted(inputs):
        folder = inputs[name].path
        for record in read_index(folder):
            if record.split == REJECTED:
                continue
            found.append((folder, record))
            for thing in (f"id {record.id}", *(f"file {file}" for file in files_of(record))):
                if (owner := owners.setdefault(thing, name)) != name:
                    raise DataError(
                        f"{folder}: found {thing} in the inputs {owner} and {name}, expected it in "
                        "one of them; give sets of different images"
                    )
    return found


def _rank(seed: int, id_: str) -> bytes:
    """Where an image stands in the draw; what else is in the set does not matter."""
    return hashlib.sha256(f"{seed}\0{id_}".encode()).digest()
