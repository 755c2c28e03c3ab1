"""Small image sets and sample folders to score, of phantom fundus images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from generator_helpers import as_artifact

from vesselforge.data.imageset import ImageRecord, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_json
from vesselforge.generator.values import Channels

SIZE = 96
MIDDLE = slice(16, 80)
"""Inside the field of view of every phantom."""


@cache
def picture(seed: int) -> np.ndarray:
    """A phantom without its black corners, `[64, 64, 3]`."""
    return make_phantom(seed, SIZE).image[MIDDLE, MIDDLE]


def write_phantom_set(folder: Path, train=range(5), validation=range(100, 103)) -> Artifact:
    records = []
    for split, seeds in ((TRAIN, train), (VALIDATION, validation)):
        for seed in seeds:
            write_png(folder / f"{seed}.png", picture(seed))
            records.append(ImageRecord(f"phantom{seed}", split, f"{seed}.png"))
    write_index(folder, "phantoms", records)
    return as_artifact(folder)


def write_samples(folder: Path, images, side: int, native=None) -> Artifact:
    """A generator.sample folder that holds these `[H, W, 3]` images."""
    records = []
    for i, image in enumerate(images):
        write_png(folder / f"images/{i}.png", image)
        records.append(ImageRecord(f"sample{i}", TRAIN, f"images/{i}.png"))
    write_json(folder / "samples.json", {
        "presentation": "patch" if native is None else "full", "resolution": side,
        "native_size": native, "provenance": {}, "channels": vars(Channels()),
    })  # fmt: skip
    write_index(folder, "synthetic", records)
    return as_artifact(folder, "generator.sample")


def crops(seeds, count: int, side: int, rng: np.random.Generator, turn: bool = False):
    """Random crops of phantoms, slightly noisy, as a generator that copies would make them."""
    for _ in range(count):
        image = picture(int(rng.choice(list(seeds))))
        y, x = rng.integers(0, image.shape[0] - side + 1, 2)
        crop = image[y : y + side, x : x + side].astype(int)
        crop = crop + rng.integers(-2, 3, crop.shape)
        if turn:
            crop = np.rot90(crop[:, :: rng.choice([-1, 1])], rng.integers(4))
        yield np.ascontiguousarray(crop.clip(0, 255).astype(np.uint8))
