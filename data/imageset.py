"""An image set: the one folder format in which prepared, synthetic and labelled images travel.

`index.json` lists the items; files are PNG. Every path in the index is relative to the folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import DataError
from data.store import replacing, write_json

INDEX = "index.json"


@dataclass(frozen=True)
class ImageRecord:
    """One image of a set; `None` where a thing does not exist.

    image: RGB, 8 bit. mask: vessel mask, 0 or 255. soft: vessel probability × 255.
    fov: field of view, 0 or 255. observers: further masks by observer's name.
    confidence: of a pseudo-label, in [0, 1].
    """

    id: str
    split: str
    image: str
    mask: str | None = None
    soft: str | None = None
    fov: str | None = None
    observers: dict[str, str] = field(default_factory=dict)
    confidence: float | None = None


@dataclass(frozen=True)
class LoadedImage:
    """An image in memory: image [H, W, 3] uint8; target [H, W] float32 in [0, 1] (soft label if
    there is one, else the mask) or None; fov [H, W] bool; observers' masks [H, W] bool."""

    id: str
    image: NDArray[np.uint8]
    target: NDArray[np.float32] | None
    fov: NDArray[np.bool_]
    observers: dict[str, NDArray[np.bool_]]


def write_index(folder: Path, name: str, records: list[ImageRecord]) -> None:
    """Write `index.json`, the last file of a set to be written."""
    write_json(folder / INDEX, {"name": name, "items": [asdict(r) for r in records]})


def read_index(folder: Path, split: str | None = None) -> list[ImageRecord]:
    """The records of a set, of one split if named; raises DataError when it has no index."""
    path = folder / INDEX
    if not path.is_file():
        raise DataError(f"{path}: not an image set (no index); expected a prepared folder")
    items = [ImageRecord(**item) for item in json.loads(path.read_text())["items"]]
    return [item for item in items if split is None or item.split == split]


def load_image(folder: Path, record: ImageRecord, soft: bool = True) -> LoadedImage:
    """Read one record. soft=False takes the hard mask even where a soft label exists."""
    image = _read(folder / record.image, "RGB")
    label = (record.soft if soft else None) or record.mask
    target = (
        None if label is None else _read(folder / label, "L").astype(np.float32) / np.float32(255)
    )
    if record.fov is None:
        fov = np.ones(image.shape[:2], dtype=bool)
    else:
        fov = _read(folder / record.fov, "L") > 127
    observers = {name: _read(folder / path, "L") > 127 for name, path in record.observers.items()}
    return LoadedImage(record.id, image, target, fov, observers)


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except OSError as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write [H, W] or [H, W, 3] uint8 as PNG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        Image.fromarray(pixels).save(aside, format="PNG")
