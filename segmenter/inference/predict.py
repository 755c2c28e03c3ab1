"""Vessel maps for a user's images: probability, mask and overlay, at native resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError
from data.images import is_image_name, read_rgb
from data.imageset import write_png
from data.progress import Progress
from segmenter.models import Model

VESSEL_COLOUR = np.array([0, 255, 140], dtype=np.float32)
UNCERTAIN = (0.2, 0.8)
"""Probabilities between these count as uncertain in the summary."""


def find_images(paths: list[Path]) -> list[Path]:
    """Image files among the paths and directly inside the folders, sorted by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if is_image_name(p))
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"{path}: no such image or folder")
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: no image files here")
    return found


def predict_files(
    model: Path, images: list[Path], out: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Write `<stem>_probability.png`, `_mask.png` and `_overlay.png` for every image.

    model: a model folder. images: files or folders. Returns one summary row per image: file,
    size, vessel and uncertain share of all pixels, or the error of a file that could not be read
    (the others are still done).
    """
    network = Model.load(model)
    files = find_images(images)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for done, file in enumerate(files, start=1):
        try:
            rows.append(_predict_one(network, file, out))
        except DataError as error:
            rows.append({"file": str(file), "error": str(error)})
        progress.update(done, len(files), "image")
    return rows


def _predict_one(model: Model, file: Path, out: Path) -> dict[str, Any]:
    image = read_rgb(file)
    prob = model.predict(image)
    mask = prob >= model.threshold
    write_png(out / f"{file.stem}_probability.png", as_png(prob))
    write_png(out / f"{file.stem}_mask.png", mask.astype(np.uint8) * 255)
    write_png(out / f"{file.stem}_overlay.png", overlay(image, mask))
    return {
        "file": str(file),
        "width": image.shape[1],
        "height": image.shape[0],
        "vessel_share": float(mask.mean()),
        "uncertain_share": float(((prob > UNCERTAIN[0]) & (prob < UNCERTAIN[1])).mean()),
    }


def as_png(prob: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probability [H, W] in [0, 1] as 8 bit, rounded."""
    return np.rint(np.clip(prob, 0, 1) * 255).astype(np.uint8)


def overlay(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image [H, W, 3] with the mask tinted in."""
    tinted = image.astype(np.float32)
    tinted[mask] = 0.4 * tinted[mask] + 0.6 * VESSEL_COLOUR
    return tinted.astype(np.uint8)
