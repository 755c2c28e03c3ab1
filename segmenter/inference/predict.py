"""Vessel maps for a user's images: probability, mask and overlay, at native resolution."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.data.formats.images import Pixels, encode_png, read_picture
from vesselforge.data.fov import derive_fov
from vesselforge.engine.files import replacing, write_atomic
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.inference.tiles import Notify
from vesselforge.segmenter.inference.user_images import find_images, output_names
from vesselforge.segmenter.models import Model

VESSEL_COLOUR = np.array([0, 255, 140], dtype=np.float32)
SUMMARY = "summary.csv"
COLUMNS = (
    "file", "name", "width", "height", "scale", "threshold", "vessel_share", "fov_share",
    "vessel_share_fov", "seconds", "remark", "error",
)  # fmt: skip
MAPS = ("probability", "mask", "overlay")
FEW = 0.02
"""Vessels in a smaller share of the field of view are remarked on; people have 0.08 to 0.15."""

MOST = 8.0
"""Largest enlargement: beyond it, there is no vessel to find."""

Row = dict[str, Any]


@dataclass(frozen=True)
class PredictOptions:
    """flips: average over mirror images. threshold: of the mask; None: the model's. bits: of the
    probability map. fov_width: images are resized for the network until their field of view is
    this many pixels wide, and the maps back; None: the network sees them as they are."""

    flips: bool = False
    threshold: float | None = None
    bits: Literal[8, 16] = 8
    fov_width: int | None = None


def predict_files(
    model: Model,
    images: list[Path],
    out: Path,
    progress: Progress,
    options: PredictOptions = PredictOptions(),
) -> list[Row]:
    """Write `<name>_probability.png`, `_mask.png` and `_overlay.png` for every image, summary.csv.

    images: files or folders. Returns the rows of the summary: shares of all pixels and of the
    field of view, or the error of a file that could not be read (the others are still done).
    Raises DataError when there is no image at all, ConfigError when maps would fall among the
    images, WorkspaceError when they cannot be written, Interrupted when asked to stop; what is
    finished is kept.
    """
    files, faults = find_images(images)
    names = output_names(files)
    _keep_apart(images, files, names, out)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = [{"file": str(path), "error": fault} for path, fault in faults.items()]
    try:
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            notify = _notifier(progress, number, len(files))
            notify(0)
            try:
                rows.append(_predict_one(model, file, out, name, notify, options))
            except (DataError, MemoryError, torch.OutOfMemoryError) as error:
                rows.append({"file": str(file), "error": _why(file, error)})
            progress.update(number + 1, len(files), "image")
    except BaseException:  # Ctrl-C as well: what is finished has its row
        with contextlib.suppress(OSError):
            _write_summary(out / SUMMARY, rows)
        raise
    with _writing(out):
        _write_summary(out / SUMMARY, rows)
    return rows


def _notifier(progress: Progress, before: int, total: int) -> Notify:
    """Passes on how much of an image is done, and raises Interrupted when asked to stop."""

    def notify(share: float) -> None:
        if progress.stop_requested:
            raise Interrupted(f"stopped after {before} of {total} images; their maps are kept")
        if 0 < share < 1:
            progress.update(round(before + share, 2), total, "image")

    return notify


def _why(file: Path, error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error) if str(file) in str(error) else f"{file}: {error}"
    return f"{file}: not enough memory for one of its tiles; give smaller ones with --tile"


def _keep_apart(images: list[Path], files: list[Path], names: list[str], out: Path) -> None:
    """Raise ConfigError when maps would replace images, or be taken for images by the next run."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: found a file, expected a folder for the maps; choose another -o")
    folder = out.resolve()
    for path in images:  # a folder, even if it may not be looked into
        if path.resolve() == folder:
            raise ConfigError(
                f"{out}: found the folder of the images, expected another one for their maps, "
                "or the next run would segment the maps; choose another -o"
            )
    taken = {file.resolve() for file in files}
    for name in names:
        for kind in MAPS:
            if folder / f"{name}_{kind}.png" in taken:
                raise ConfigError(
                    f"{out / f'{name}_{kind}.png'}: this image would be replaced by a map; "
                    "choose another -o"
                )


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # this image's fault alone
            raise DataError(f"{out}: a name made of {error.filename} is too long") from error
        raise WorkspaceError(
            f"{out}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder with -o; finished maps are kept"
        ) from error


def _predict_one(
    model: Model,
    file: Path,
    out: Path,
    name: str,
    notify: Notify,
    options: PredictOptions,
) -> Row:
    began = time.perf_counter()
    # As viewers show it (EXIF), grey repeated, alpha laid on black, 16 bits made 8: what the
    # networks saw in training.
    image = read_picture(file, upright=True).rgb()
    fov = derive_fov(image)
    scale = scale_for(fov, options.fov_width)
    prob = model.predict(image, options.flips, notify, scale)
    threshold = model.threshold if options.threshold is None else options.threshold
    mask = model.mask(prob, threshold, scale)
    maps: dict[str, Pixels] = {
        "probability": as_png(prob, options.bits),
        "mask": mask.astype(np.uint8) * 255,
        "overlay": overlay(image, mask),
    }
    with _writing(out):
        _publish({out / f"{name}_{kind}.png": pixels for kind, pixels in maps.items()})
    shares = {"vessel_share": mask, "fov_share": fov, "vessel_share_fov": mask[fov]}
    row: Row = {"file": str(file), "name": name, "width": image.shape[1], "height": image.shape[0]}
    row |= {"scale": round(float(scale), 6), "threshold": threshold}
    row |= {column: round(float(of.mean()), 6) for column, of in shares.items()}
    remark = ""
    if row["vessel_share_fov"] < FEW:
        remark = (
            "hardly any vessels found; where images are much larger or smaller than those of the "
            "training, --fov-width shows them to the network at another size"
        )
    return row | {"seconds": round(time.perf_counter() - began, 3), "remark": remark}


def _publish(maps: dict[Path, Pixels]) -> None:
    """Write all maps of an image aside, then put them in their places: all or none."""
    with contextlib.ExitStack() as stack:
        for path, pixels in maps.items():
            aside = stack.enter_context(replacing(path))
            aside.write_bytes(encode_png(pixels))


def _write_summary(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def scale_for(fov: NDArray[np.bool_], wanted: int | None) -> float:
    """The factor that makes the field of view `wanted` pixels wide; 1 when that is None.

    Raises DataError when the image would be enlarged more than MOST times.
    """
    if wanted is None:
        return 1.0
    columns = np.flatnonzero(fov.any(axis=0))
    width = int(columns[-1] - columns[0]) + 1
    if wanted > MOST * width:
        raise DataError(
            f"found a field of view of {width} pixels, expected at least {wanted / MOST:.0f} to "
            f"enlarge it to {wanted}"
        )
    return wanted / width


def as_png(prob: NDArray[np.float32], bits: Literal[8, 16] = 8) -> NDArray[Any]:
    """Probability [H, W] in [0, 1] as whole numbers of so many bits, rounded."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.rint(np.clip(prob, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def overlay(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image [H, W, 3] with the mask tinted in."""
    tinted = image.copy()
    tinted[mask] = (0.4 * image[mask] + 0.6 * VESSEL_COLOUR).astype(np.uint8)
    return tinted
