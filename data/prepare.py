"""The stage that turns a dataset into an image set: checked, decoded, PNG at native resolution.

Development (training and validation) and test images are two artifacts, so that only the stage
that is handed the test artifact can see a test pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, PhantomSettings, PrepareSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.imageset import ImageRecord, write_index, write_mask, write_png
from vesselforge.data.layouts.check import Report, check
from vesselforge.data.layouts.items import Item
from vesselforge.data.layouts.splits import SPLITS, TEST, TRAIN, VALIDATION
from vesselforge.data.layouts.warned import CHECK
from vesselforge.data.phantoms.draw import VERSION
from vesselforge.engine.artifacts import METRICS, Inputs, identity_of
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress

PARTS = {"development": (TRAIN, VALIDATION), "test": (TEST,), "all": SPLITS}


def prepare(settings: PrepareSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with images/, masks/, fov/, observers/, check.json, metrics.json, index.json; of
    images for the generator alone there are no masks and FOVs.

    Raises DataError with the first problem when the dataset is not sound.
    """
    dataset = load_settings(settings.data)
    splits = PARTS[settings.part]
    # Every file is checked, so that a bad test image or a test image among the training images
    # stops the work before hours of training; of phantoms nothing can be wrong.
    report = check(dataset, splits if dataset.root is None else SPLITS)
    report.raise_first()
    report.rows = [row for row in report.rows if row.split in splits]
    items = [item for item in dataset if item.split in splits]
    if settings.part == "all":  # a set that nothing is trained on
        items = [replace(item, split=TEST) for item in items]
    if not items:
        raise DataError(f"{dataset.root or dataset.name}: found no {settings.part} image")
    write_json(out / CHECK, _without_machine(report))
    lines = [line for line in report.splits() if line["images"]]
    facts = ("images", "labelled", "vessel_share")
    found = {name: {line["split"]: line[name] for line in lines} for name in facts}
    write_json(out / METRICS, {**found, "warnings": len(report.warnings)})
    write_set(dataset.name, items, out, progress, dataset.classes)


def write_set(
    name: str, items: Sequence[Item], out: Path, progress: Progress, classes: Sequence[str] = ()
) -> None:
    """Decode the items into an image set."""
    records = []
    for done, item in enumerate(items):
        records.append(_write(item, out))
        progress.update(done + 1, len(items), "images")
    write_index(out, name, records, classes)


def content_hash(settings: DataSettings, lenient: bool = False) -> str:
    """Hex SHA-256 over ids, splits, labels, relative names and bytes of all files of the dataset
    (of the settings, for phantoms): another dataset is another input, wherever it lies. Nothing is
    decoded.

    Raises DataError when the dataset or one of its files is missing. lenient: only when there is
    no dataset; files that are missing, unreadable or fit no image are part of the content, and
    equal hashes mean that nothing was added, mended or taken away.
    """
    if settings.name == "phantom":
        return _phantom_hash(settings.phantom, VERSION)
    total = hashlib.sha256()
    dataset = load_settings(settings, lenient)
    assert dataset.root is not None
    for item in sorted(dataset, key=lambda i: (i.id, i.split)):
        for role, path in sorted(item.files().items()):
            if not (lenient or path.is_file()):
                raise DataError(f"{path}: no such file; expected the {role} of {item.id!r}")
            name = path.relative_to(dataset.root).as_posix()
            line = [item.id, item.split, role, name, _bytes_hash(path, lenient)]
            if item.whole:  # whichever file or folder it comes from
                line.append(repr(item.label))
            total.update(("\0".join(line) + "\n").encode(errors="surrogateescape"))
    for problem in sorted(dataset.problems, key=str) if lenient else ():
        content = _bytes_hash(Path(problem.file), lenient)
        total.update(f"{problem}\0{content}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _bytes_hash(path: Path, lenient: bool) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        if lenient:
            return f"unreadable ({error.errno})"
        raise


def phantom_version(settings: PhantomSettings, content: str) -> int | None:
    """Which version of the phantoms has this content hash; None where it is not known any more."""
    versions = range(VERSION, 0, -1)
    return next((v for v in versions if _phantom_hash(settings, v) == content), None)


def _phantom_hash(settings: PhantomSettings, version: int) -> str:
    facts = version, sorted(identity_of(settings).items())
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def outside(settings: PrepareSettings) -> dict[str, str]:
    """What the stage reads outside the store, as in the address of its artifact."""
    return {"dataset": content_hash(settings.data)}


def _write(item: Item, out: Path) -> ImageRecord:
    name = f"{item.id}.png"
    record = ImageRecord(item.id, item.split, f"images/{name}")
    if item.whole:
        write_png(out / record.image, item.read_picture().spread())
        return replace(record, label=None if item.label is None else list(item.label))
    image = item.read_image()
    write_png(out / record.image, image)
    write_mask(out / "fov" / name, item.read_fov(image))
    paths = {}
    for number, observer in enumerate(item.masks):
        paths[observer] = f"{'masks' if number == 0 else f'observers/{observer}'}/{name}"
        write_mask(out / paths[observer], item.read_mask(observer))
    mask = paths.pop(next(iter(item.masks)), None) if item.masks else None
    record = replace(record, mask=mask, fov=f"fov/{name}", observers=paths)
    ignored = item.read_ignored()
    if ignored is None:
        return record
    write_mask(out / "ignored" / name, ignored)
    return replace(record, ignored=f"ignored/{name}")


def _without_machine(report: Report) -> dict[str, Any]:
    """The report, with paths relative to the dataset: an artifact is the same on every machine."""
    found = report.to_dict() | {"root": None}
    for problem in found["problems"]:
        if problem["file"] == report.root:
            problem["file"] = report.name
        for key in ("file", "sentence"):
            problem[key] = problem[key].replace(f"{report.root}/", "")
    return found
