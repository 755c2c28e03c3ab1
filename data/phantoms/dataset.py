"""Phantoms as a dataset of its own: names, seeds, and a folder of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from configs.settings import PhantomSettings
from data.imageset import write_png
from data.phantoms.appearance import GENERIC, Appearance
from data.phantoms.draw import Phantom, make_phantom
from data.splits import SPLITS


def phantom_names(seed: int, counts: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """(split, id, seed of the image) of a whole set; more images never change earlier ones."""
    for split, count in counts.items():
        for number in range(count):
            words = np.random.SeedSequence([seed, SPLITS.index(split), number]).generate_state(1)
            yield split, f"{split}-{number:04d}", int(words[0])


def write_phantoms(
    folder: Path,
    settings: PhantomSettings,
    appearance: Appearance = GENERIC,
    randomise: float = 0.0,
) -> list[str]:
    """Write the whole set as images/, masks/, fov/ (the layout `paired`); returns the ids."""
    counts = dict(zip(SPLITS, (settings.train, settings.validation, settings.test), strict=True))
    ids = []
    for _, id_, seed in phantom_names(settings.seed, counts):
        write_phantom(folder, id_, make_phantom(seed, settings.size, appearance, randomise))
        ids.append(id_)
    return ids


def write_phantom(folder: Path, id_: str, phantom: Phantom) -> None:
    """images/, masks/ and fov/ID.png; the image last, so that one that is there means all are."""
    write_png(folder / "masks" / f"{id_}.png", phantom.mask.astype(np.uint8) * 255)
    write_png(folder / "fov" / f"{id_}.png", phantom.fov.astype(np.uint8) * 255)
    write_png(folder / "images" / f"{id_}.png", phantom.image)
