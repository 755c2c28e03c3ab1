"""The table of other cameras in docs/results/segmenters.md: collect_cameras.py MODEL [IMAGES].

DRIVE's test images as they are, four times as large on a black ground of 3504×2336, and pieces of
both without a border: F1 inside the field of view, beside that of the same region of the image as
it is. No option is given to the model, as in `vesselforge segmenter predict MODEL IMAGE -o OUT`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesselforge.data.datasets import named_dataset
from vesselforge.data.fov import derive_fov
from vesselforge.pipeline.record import model_folder
from vesselforge.segmenter.inference.showing import Showing, showing
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.models import Model

LARGE, FACTOR = (2336, 3504), 4
PIECES = {"middle, 376 px": (104, 94, 376), "a quarter, 264 px": (290, 60, 264)}
"""Name → row, column and side of a square inside DRIVE's field of view."""


def main(name: str, count: int) -> None:
    """Print the table of so many images."""
    model = Model.load(model_folder(Path(name)), runtime="auto")
    rows: dict[str, list[tuple[Any, Any, Any, Showing]]] = {}
    whole: dict[str, list[Any]] = {}
    for item in named_dataset("drive").split("test")[:count]:
        image, fov, truth = item.read_image(), item.read_fov(), item.read_mask("1st")
        mask, shown = predicted(model, image)
        large = [on_black(enlarged(each)) for each in (image, fov, truth)]
        found, how = predicted(model, large[0])
        add(rows, "as it is", (mask, truth, fov, shown))
        add(rows, "3504×2336", (found, large[2], large[1], how))
        for piece, (y, x, side) in PIECES.items():
            part = slice(y, y + side), slice(x, x + side)
            add(whole, piece, (mask[part], truth[part], fov[part], shown))
            for size, factor in (("", 1), (", four times as large", FACTOR)):
                small = [enlarged(each[part], factor) for each in (image, fov, truth)]
                found, how = predicted(model, small[0])
                add(rows, piece + size, (found, small[2], small[1], how))
        print(item.id, end=" ", file=sys.stderr, flush=True)
    head = ["DRIVE's test images", "F1", "the same region, seen whole", "shown at (true)"]
    print(f"| {' | '.join([*head, 'found by, how sure'])} |", f"|{' --- |' * 5}", sep="\n")
    for name, each in rows.items():
        same = whole.get(name.removesuffix(", four times as large"), rows["as it is"])
        true = 1 / FACTOR if "3504" in name or "four" in name else 1.0
        scales = np.array([row[3].scale for row in each])
        sure = np.mean([row[3].sure for row in each])
        print(
            f"| {name} | {f1(each):.4f} | {f1(same):.4f} | × {scales.min():.3f} to "
            f"{scales.max():.3f} ({true:g}) | {each[0][3].found}, {sure:.2f} |"
        )


def predicted(model: Model, image: Any) -> tuple[Any, Showing]:
    """What `predict` writes as the mask, and at which size the model was shown the image."""
    how = showing(model, image, derive_fov(image))
    return model.mask(model.predict(image, scale=how.scale), how.scale), how


def enlarged(pixels: Any, factor: int = FACTOR) -> Any:
    if factor == 1:
        return np.ascontiguousarray(pixels)
    kind = Image.Resampling.LANCZOS if pixels.ndim == 3 else Image.Resampling.NEAREST
    size = pixels.shape[1] * factor, pixels.shape[0] * factor
    return np.asarray(Image.fromarray(pixels).resize(size, kind))


def on_black(pixels: Any) -> Any:
    """In the middle of a picture that is as wide as a camera's."""
    before = (LARGE[1] - pixels.shape[1]) // 2
    sides = [(0, 0), (before, LARGE[1] - pixels.shape[1] - before), (0, 0)]
    return np.pad(pixels, sides[: pixels.ndim])


def add(to: dict[str, list[Any]], name: str, row: Any) -> None:
    to.setdefault(name, []).append(row)


def f1(rows: list[Any]) -> float:
    """Pooled, inside the field of view."""
    masks, truths, fovs, _ = zip(*rows, strict=True)
    return pooled_f1(masks, truths, fovs)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20)
