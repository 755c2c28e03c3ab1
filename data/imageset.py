"""An image set: the one folder format in which prepared, synthetic and labelled images travel.

`index.json` lists the items; files are PNG. Every path in the index is relative to the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture, Pixels, encode_png, read_picture
from vesselforge.engine.documents import inside, read_valid
from vesselforge.engine.files import replacing, write_json

INDEX = "index.json"
PHOTOGRAPHS = ("data.prepare", "data.subset")
"""Kinds of stages whose images are photographs, if they are not of labelled pools."""
EXPECTED = "an image set as a stage of ours writes it: make it again, or copy all of its folder"


@dataclass(frozen=True)
class ImageRecord:
    """One image of a set; `None` where a thing does not exist.

    image: RGB, 8 bit; of sets for the generator alone, grey or RGB of 8 or 16 bits.
    mask: vessel mask, 0 or 255. soft: vessel probability × 255.
    fov: field of view, 0 or 255; None: all of the image. observers: further masks by observer's
    name. confidence: of a pseudo-label, in [0, 1].
    label: what a conditional generator is told: one-hot of a class, or any vector.
    weight: how much each pixel's label is trusted, × 255; 8 bits, grey. None: 1 everywhere.
    ignored: pixels of which the observers say nothing, 0 or 255. None: there is none.
    """

    id: str
    split: str
    image: str
    mask: str | None = None
    soft: str | None = None
    fov: str | None = None
    observers: dict[str, str] = field(default_factory=dict)
    confidence: float | None = None
    label: list[float] | None = None
    weight: str | None = None
    ignored: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Index:
    """What `index.json` says. classes: their names, in the order of the one-hot labels."""

    items: list[ImageRecord]
    name: str = ""
    classes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoadedImage:
    """An image in memory: image [H, W, 3] uint8; target [H, W] uint8, vessel probability × 255
    (soft label if there is one, else the mask) or None; fov [H, W] bool; observers' masks [H, W]
    bool; weight [H, W] uint8, × 255, of the target's pixels, None: 1 everywhere; ignored [H, W]
    bool or None: pixels of which nobody says what they are. They have weight 0 and are not in the
    field of view."""

    id: str
    image: NDArray[np.uint8]
    target: NDArray[np.uint8] | None
    fov: NDArray[np.bool_]
    observers: dict[str, NDArray[np.bool_]]
    weight: NDArray[np.uint8] | None = None
    ignored: NDArray[np.bool_] | None = None

    @property
    def reference(self) -> NDArray[np.bool_]:
        """[H, W] the hard vessel mask of an image with a target."""
        assert self.target is not None
        return self.target > 127

    def without(self, ignored: NDArray[np.bool_] | None) -> LoadedImage:
        """The image, these pixels [H, W] left out of training and scores."""
        if ignored is None:
            return self
        weight = np.full(ignored.shape, 255, np.uint8) if self.weight is None else self.weight
        weight = np.where(ignored, np.uint8(0), weight)
        return replace(self, fov=self.fov & ~ignored, weight=weight, ignored=ignored)


def write_index(
    folder: Path, name: str, records: list[ImageRecord], classes: Sequence[str] = ()
) -> None:
    """Write `index.json`, the last file of a set to be written. classes: see `Index`."""
    items = [asdict(record) for record in records]
    rare = ("label", "weight", "ignored")  # sets without them are byte for byte what they were
    items = [{k: v for k, v in item.items() if v is not None or k not in rare} for item in items]
    whole = {"name": name, "items": items} | ({"classes": list(classes)} if classes else {})
    write_json(folder / INDEX, whole)


def read_index(folder: Path, split: str | None = None) -> list[ImageRecord]:
    """The records of a set, of one split if named.

    Raises DataError when it has no index or a damaged one, WorkspaceError when a record names a
    file that is not of this folder."""
    records = _index(folder).items
    for record in records:
        for name in files_of(record):
            inside(folder, name, folder / INDEX)
    return [record for record in records if split is None or record.split == split]


def read_classes(folder: Path) -> list[str]:
    """The names of a set's classes, in the order of the one-hot labels; empty when it has none."""
    return _index(folder).classes


def _index(folder: Path) -> Index:
    return read_valid(folder / INDEX, Index, EXPECTED, DataError)


def load_image(folder: Path, record: ImageRecord, soft: bool = True) -> LoadedImage:
    """Read one record. soft=False takes the hard mask even where a soft label exists, and no map of
    weights. Grey and 16 bits become RGB of 8 bits. Raises DataError, also for a map of another size
    than the image.
    """
    image = load_picture(folder, record).rgb()
    label = (record.soft if soft else None) or record.mask
    target = None if label is None else read_picture(folder / label).grey()
    fov = load_fov(folder, record)
    fov = np.ones(image.shape[:2], dtype=bool) if fov is None else fov
    observers = {
        name: read_picture(folder / path).grey() > 127 for name, path in record.observers.items()
    }
    weight = read_picture(folder / record.weight).grey() if soft and record.weight else None
    ignored = read_picture(folder / record.ignored).grey() > 127 if record.ignored else None
    for name, layer in ((record.weight, weight), (record.ignored, ignored)):
        if layer is not None and layer.shape != fov.shape:
            found, expected = (f"{shape[1]}×{shape[0]}" for shape in (layer.shape, fov.shape))
            raise DataError(
                f"{folder / str(name)}: found {found} pixels, expected {expected} as of image "
                f"{record.id!r}; write the map anew"
            )
    return LoadedImage(record.id, image, target, fov, observers, weight).without(ignored)


def files_of(record: ImageRecord) -> list[str]:
    """The paths of a record's files, relative to its set; each once."""
    names = [record.image, record.mask, record.soft, record.fov, record.weight, record.ignored]
    names += record.observers.values()
    return list(dict.fromkeys(name for name in names if name is not None))


def load_picture(folder: Path, record: ImageRecord) -> Picture:
    """The image of a record at its own depth; in a set, values fill all bits of their type."""
    picture = read_picture(folder / record.image)
    return replace(picture, said=picture.bits)


def load_mask(folder: Path, record: ImageRecord) -> NDArray[np.bool_]:
    """[H, W] bool: vessel. Raises DataError for a record without a mask."""
    if record.mask is None:
        raise DataError(f"{folder}: image {record.id!r} has no vessel mask")
    return read_picture(folder / record.mask).grey() > 127


def load_fov(folder: Path, record: ImageRecord) -> NDArray[np.bool_] | None:
    """[H, W] bool, or None: the whole image is the field of view."""
    return None if record.fov is None else read_picture(folder / record.fov).grey() > 127


def write_png(path: Path, pixels: Pixels, level: int = 6) -> None:
    """Write grey or RGB pixels atomically, see `encode_png`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_bytes(encode_png(pixels, level))


def write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as 0 and 255."""
    write_png(path, mask.astype(np.uint8) * 255)
