"""What tests of predicting a user's files share."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from vesselforge.data.phantoms.draw import make_phantom

PHANTOM = make_phantom(1, 128)
PICTURE = np.ascontiguousarray(PHANTOM.image[20:100, 16:112])
MAPS = {"probability", "mask", "overlay"}


def written(out: Path, name: str) -> dict[str, np.ndarray]:
    return {kind: np.asarray(Image.open(out / f"{name}_{kind}.png")) for kind in MAPS}


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "summary.csv").open()))
