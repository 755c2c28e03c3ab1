"""What the memorisation figures rest on, to look at: closest.csv, closest.png and pairs/.

The pictures show training images: they stay in the workspace.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import write_png
from vesselforge.engine.files import write_atomic
from vesselforge.generator.metrics.memorisation import Matches, turned_back
from vesselforge.generator.metrics.reals import Place

PICTURE, TABLE, PAIRS = "closest.png", "closest.csv", "pairs"
HEAD = ("rank", "sample", "distance", "suspicious", "image", "y", "x", "turned")
SHOWN = 16
"""Samples in the pictures, the nearest."""
SIDE, COLUMNS, GAP = 160, 4, 4
"""Greatest side of an image in the picture, pairs in a row, pixels of white around a pair."""


def write_closest(
    out: Path,
    found: Matches,
    names: Sequence[str],
    places: Sequence[Place],
    threshold: float | None,
    pair: Callable[[int, Place], tuple[Tensor, Tensor]],
) -> None:
    """Write the table of all samples, nearest first, a picture of the first SHOWN, and each of
    these by itself as `pairs/<rank>.png`, sample left and training view right.

    names: of the samples. places: of the training views. threshold: distance below which a sample
    is suspicious, if known. pair: (sample, place) → their pixels, `[3, H, W]` uint8. The
    column `turned` numbers the version (see `turns`) in which the two are alike.
    """
    order = np.argsort(found.distances, kind="stable")
    write_atomic(out / TABLE, _table(found, order, names, places, threshold))
    shown = []
    for rank, i in enumerate(order[:SHOWN].tolist(), 1):
        sample, view = pair(i, places[int(found.views[i])])
        shown.append(_beside(sample, turned_back(view, int(found.turned[i]))))
        write_png(out / PAIRS / f"{rank}.png", shown[-1])
    sheet = grid_of(np.stack(shown).transpose(0, 3, 1, 2), min(COLUMNS, len(shown)))
    write_png(out / PICTURE, sheet)


def _table(
    found: Matches,
    order: NDArray[np.int64],
    names: Sequence[str],
    places: Sequence[Place],
    threshold: float | None,
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for rank, i in enumerate(order.tolist(), 1):
        distance, place = float(found.distances[i]), places[int(found.views[i])]
        suspicious = "" if threshold is None else int(distance < threshold)
        turned = place.turned or int(found.turned[i])
        near = (f"{distance:.6g}", suspicious, place.image, place.y, place.x, turned)
        writer.writerow((rank, names[i], *near))
    return text.getvalue()


def _beside(sample: Tensor, view: Tensor) -> NDArray[np.uint8]:
    """Return sample and training view side by side, `[H, W, 3]`, with white around them."""
    framed = []
    for image in (sample, view):
        picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        framed.append(np.asarray(picture))
    pair = np.concatenate(framed, axis=1)
    return np.pad(pair, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)
