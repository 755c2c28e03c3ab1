"""Seeded faults of whole folders of images and masks: names, pairs and layouts, not contents.

An arrangement is a function `(random, folder, file) -> (what was done, certain)`. folder: holds
images/ and masks/; file: one of either; certain: as in `mutators`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

Arrangement = Callable[[Random, Path, Path], tuple[str, bool]]


def undecodable(random: Random, folder: Path, file: Path) -> tuple[str, bool]:
    """A name that is no text in UTF-8; its partner has the old one."""
    name = b"eye-\xff\xfe-" + os.fsencode(file.name)
    file.rename(file.with_name(os.fsdecode(name)))
    return f"{file.name} has a name that is not UTF-8", True


def alone(random: Random, folder: Path, file: Path) -> tuple[str, bool]:
    """Its partner is gone."""
    file.unlink()
    return f"{file.name} is gone", True


def twins(random: Random, folder: Path, file: Path) -> tuple[str, bool]:
    """Two files of one identifier."""
    suffix = ".tif" if file.name.endswith(".png") else ".png"
    (file.parent / f"{file.name.split('.')[0]}{suffix}").write_bytes(file.read_bytes())
    return f"{file.name} twice, with another suffix", True


def renamed(random: Random, folder: Path, file: Path) -> tuple[str, bool]:
    """A name that people give, or that leads astray."""
    stem, _, suffix = file.name.partition(".")
    name = random.choice(
        (f"{stem}_other", f"{stem} (1)", f"Copy of {stem}", f".{stem}", f"{stem}\n", "a" * 240)
    )
    file.rename(file.with_name(f"{name}.{suffix}"))
    return f"{file.name} is called {name!r:.40}", False


def foreign_layout(random: Random, folder: Path, file: Path) -> tuple[str, bool]:
    """Folders of other names, deeper ones, or none."""
    images, masks = folder / "images", folder / "masks"
    way = random.choice(("other names", "deeper", "both in one", "only masks", "only images"))
    if way == "other names":
        images.rename(folder / random.choice(("Original", "img", "photos", "imagesTr", "x")))
        masks.rename(folder / random.choice(("Ground truth", "labelsTr", "vessels", "y")))
    elif way == "deeper":
        for part in (images, masks):
            (part / "a" / "b").mkdir(parents=True)
            for path in sorted(part.glob("*.*")):
                path.rename(part / "a" / "b" / path.name)
    elif way == "both in one":
        for path in sorted(masks.iterdir()):
            path.rename(images / f"{path.name.split('.')[0]}_mask.{path.name.split('.', 1)[1]}")
        masks.rmdir()
    else:
        gone = images if way == "only masks" else masks
        for path in sorted(gone.iterdir()):
            path.unlink()
        gone.rmdir()
    return f"layout: {way}", False


FOLDER: tuple[Arrangement, ...] = (
    undecodable, undecodable, alone, twins, renamed, renamed, foreign_layout, foreign_layout,
    foreign_layout,
)  # fmt: skip
