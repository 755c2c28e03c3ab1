"""Phantoms as a dataset of its own: names, seeds, and a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PhantomSettings
from vesselforge.data.imageset import LoadedImage, write_png
from vesselforge.data.layouts.items import Dataset, Item, PhantomItem
from vesselforge.data.layouts.splits import SPLITS, TRAIN
from vesselforge.data.phantoms.appearance import GENERIC, Appearance
from vesselforge.data.phantoms.draw import Phantom, make_phantom
from vesselforge.data.phantoms.fit import fit_appearance


def phantom_names(settings: PhantomSettings) -> Iterator[tuple[str, str, int]]:
    """(split, id, seed of the image) of a whole set; more images never change earlier ones."""
    counts = (settings.train, settings.validation, settings.test)
    for place, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
        for number in range(count):
            words = np.random.SeedSequence([settings.seed, place, number]).generate_state(1)
            yield split, f"{split}-{number:04d}", int(words[0])


def phantom_items(settings: PhantomSettings) -> Iterator[PhantomItem]:
    """The set as items, whose paths are names only."""
    for split, id_, seed in phantom_names(settings):
        name = f"{id_}.png"
        yield PhantomItem(
            id=id_,
            split=split,
            image=Path("images") / name,
            masks={"exact": Path("masks") / name},
            fov=Path("fov") / name,
            seed=seed,
            size=settings.size,
        )


def write_phantoms(
    folder: Path,
    settings: PhantomSettings,
    appearance: Appearance = GENERIC,
    randomise: float = 0.0,
) -> list[str]:
    """Write the whole set as images/, masks/, fov/ (the layout `paired`); returns the ids."""
    ids = []
    for _, id_, seed in phantom_names(settings):
        write_phantom(folder, id_, make_phantom(seed, settings.size, appearance, randomise))
        ids.append(id_)
    return ids


def measured_on(dataset: Dataset) -> Appearance:
    """The appearance of a dataset's training images, see `fit_appearance`; the reference is the
    first observer's. Raises DataError where it has none, or one cannot be read."""
    training = [item for item in dataset if item.split == TRAIN]
    if not training:
        raise DataError(f"{dataset.root or dataset.name}: found no training image to measure")
    return fit_appearance([_loaded(item) for item in training])


def _loaded(item: Item) -> LoadedImage:
    image = item.read_image()
    observer = next(iter(item.masks), None)
    target = None if observer is None else item.read_mask(observer).astype(np.float32)
    return LoadedImage(item.id, image, target, item.read_fov(image), {})


def write_phantom(folder: Path, id_: str, phantom: Phantom) -> None:
    """images/, masks/ and fov/ID.png; the image last, so that one that is there means all are."""
    write_png(folder / "masks" / f"{id_}.png", phantom.mask.astype(np.uint8) * 255)
    write_png(folder / "fov" / f"{id_}.png", phantom.fov.astype(np.uint8) * 255)
    # Noise does not compress: level 6 saves a seventh more and takes longer than half a phantom.
    write_png(folder / "images" / f"{id_}.png", phantom.image, level=3)
