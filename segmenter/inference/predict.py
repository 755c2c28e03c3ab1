"""Vessel maps for a user's images: probability, mask and overlay, at native resolution."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.configs.stages.segmenter import FovWidth
from vesselforge.data.formats.images import encode_png, is_image_name, read_picture, stem_of
from vesselforge.data.fov import derive_fov
from vesselforge.data.layouts.roles import STRANGE_NAME
from vesselforge.engine.documents import is_plain, spelled
from vesselforge.engine.files import replacing, write_csv
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.inference.showing import UNKNOWN, Showing, showing
from vesselforge.segmenter.inference.tiles import Notify
from vesselforge.segmenter.models import Model

VESSEL_COLOUR = np.array([0, 255, 140], dtype=np.float32)
SUMMARY = "summary.csv"
COLUMNS = (
    "file", "name", "width", "height", "scale", "fov_width", "found_by", "sure", "threshold",
    "vessel_share", "fov_share", "vessel_share_fov", "seconds", "remark", "error",
)  # fmt: skip
MAPS = ("probability", "mask", "overlay")
FEW = 0.02
"""Vessels in a smaller share of the field of view are remarked on; people have 0.08 to 0.15."""
UNSURE = 0.5
"""Sizes that are less sure are remarked on."""
Row = dict[str, Any]


def predict_files(
    model: Model,
    images: list[Path],
    out: Path,
    progress: Progress,
    flips: bool = False,
    bits: int = 8,
    fov_width: FovWidth = "model",
) -> list[Row]:
    """Write `<name>_probability.png`, `_mask.png` and `_overlay.png` for every image, summary.csv.

    images: files or folders. flips: average over mirror images. bits: of the probability map, 8 or
    16. fov_width: at which size the network is shown the images, see `showing`; maps are brought
    back to the image's own pixels. Returns the rows of the summary: shares of all pixels and of the
    field of view, the size and how it was found, or the error of a file that could not be read (the
    others are still done). Raises DataError when there is no image at all, ConfigError when maps
    would fall among the images, WorkspaceError when they cannot be written, Interrupted when asked
    to stop; what is finished is kept.
    """
    files, faults = find_images(images)
    names = output_names(files)
    _keep_apart(images, files, names, out)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if model.magnification is None and fov_width == "model":
        progress.message(UNKNOWN)
    rows: list[Row] = [{"file": spelled(path), "error": fault} for path, fault in faults.items()]
    try:
        for number, (file, name) in enumerate(zip(files, names, strict=True)):

            def notify(share: float, before: int = number) -> None:
                if progress.stop_requested:
                    kept = f"stopped after {before} of {len(files)} images; their maps are kept"
                    raise Interrupted(kept)
                if 0 < share < 1:
                    progress.update(round(before + share, 2), len(files), "image")

            notify(0)
            try:
                made = _predict_one(model, file, out / name, notify, flips, bits, fov_width)
            except DataError as error:
                fault = str(error) if str(file) in str(error) else f"{file}: {error}"
                made = {"error": spelled(fault)}
            except (MemoryError, torch.OutOfMemoryError):
                fault = "not enough memory for one of its tiles; give smaller ones with --tile"
                made = {"error": spelled(f"{file}: {fault}")}
            rows.append({"file": spelled(file)} | made)
            progress.update(number + 1, len(files), "image")
    except BaseException:  # Ctrl-C as well: what is finished has its row
        with contextlib.suppress(OSError):
            _write_summary(out / SUMMARY, rows)
        raise
    with _writing(out):
        _write_summary(out / SUMMARY, rows)
    return rows


@dataclass(frozen=True)
class Predicted:
    """What a model finds in an image, at the image's own size. prob: vessel probability [H, W]
    float32 in [0, 1]; mask: vessels [H, W] bool, by the model's threshold and rule of components;
    fov: field of view [H, W] bool, by brightness; shown: at which size the network saw the image.
    """

    prob: NDArray[np.float32]
    mask: NDArray[np.bool_]
    fov: NDArray[np.bool_]
    shown: Showing


def predict_image(
    model: Model,
    image: NDArray[np.uint8],
    flips: bool = False,
    fov_width: FovWidth = "model",
    notify: Notify = lambda share: None,
) -> Predicted:
    """The same for one RGB image [H, W, 3] in memory. notify: see `Model.predict`."""
    fov = derive_fov(image)
    shown = showing(model, image, fov, fov_width)
    prob = model.predict(image, flips, notify, shown.scale)
    return Predicted(prob, model.mask(prob, shown.scale), fov, shown)


def _write_summary(path: Path, rows: list[Row]) -> None:
    write_csv(path, [COLUMNS, *([row.get(column) for column in COLUMNS] for row in rows)])


def find_images(paths: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """(image files among the paths and directly inside the folders, faults of the other paths).

    Every file once, in the order given, those of a folder by name. Raises DataError when there is
    no image at all.
    """
    found: dict[Path, Path] = {}  # real path → as it was given
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            inside = [path] if path.exists() else []
            if path.is_dir():
                inside = sorted(p for p in path.iterdir() if is_image_name(p) and not p.is_dir())
        except OSError as error:
            faults[path] = f"{spelled(path)}: cannot be read ({error.strerror})"
            continue
        if not inside:
            faults[path] = (
                f"{spelled(path)}: found no image files directly in this folder, expected some; "
                "give its sub-folders, or the files"
                if path.is_dir()
                else f"{spelled(path)}: no such image or folder"
            )
        for file in inside:
            found.setdefault(file.resolve(), file)
    if not found:
        raise DataError("; ".join(faults.values()) or "no images were given")
    return list(found.values()), faults


def output_names(files: list[Path]) -> list[str]:
    """A name for the maps of every file: its stem; where several files share it, with the folders
    before it that tell them apart, and with the suffix if they lie in the same one.

    a/eye.png and b/eye.png become a-eye and b-eye. Upper and lower case count as the same, as
    some file systems have it; what is taken then gets a number.
    """
    alike: dict[str, list[Path]] = {}
    for file in files:
        alike.setdefault(stem_of(file).casefold(), []).append(file.resolve().parent)
    taken: set[str] = set()
    names = []
    for file in files:
        name, place = stem_of(file), file.resolve()
        parents = alike[name.casefold()]
        if len(parents) > 1:
            folders = place.parent.relative_to(os.path.commonpath(parents)).parts
            name = "-".join((*folders, name if parents.count(place.parent) == 1 else place.name))
        number, free = 2, name
        while free.casefold() in taken:
            number, free = number + 1, f"{name}-{number}"
        taken.add(free.casefold())
        names.append(free)
    return names


def _keep_apart(images: list[Path], files: list[Path], names: list[str], out: Path) -> None:
    """Raise ConfigError when maps would replace images, or be taken for images by the next run."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: found a file, expected a folder for the maps; choose another -o")
    folder = out.resolve()
    if folder in {path.resolve() for path in images}:  # even if it may not be looked into
        raise ConfigError(
            f"{out}: found the folder of the images, expected another one for their maps, "
            "or the next run would segment the maps; choose another -o"
        )
    taken = {file.resolve() for file in files}
    for file in (f"{name}_{kind}.png" for name in names for kind in MAPS):
        if folder / file in taken:
            raise ConfigError(
                f"{out / file}: this image would be replaced by a map; choose another -o"
            )


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # this image's fault alone
            name = error.filename2 or error.filename
            raise DataError(f"{out}: a name made of {name} is too long") from error
        raise WorkspaceError(
            f"{out}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder with -o; finished maps are kept"
        ) from error


def _predict_one(
    model: Model,
    file: Path,
    out: Path,
    notify: Notify,
    flips: bool,
    bits: int,
    fov_width: FovWidth,
) -> Row:
    """Write the maps of an image, all or none. out: what their names begin with."""
    began = time.perf_counter()
    if not is_plain(file.name):
        raise DataError(STRANGE_NAME)
    picture = read_picture(file)
    image = picture.rgb()
    found = predict_image(model, image, flips, fov_width, notify)
    mask, fov, shown = found.mask, found.fov, found.shown
    pixels = as_png(found.prob, bits), mask.astype(np.uint8) * 255, overlay(image, mask)
    with _writing(out.parent), contextlib.ExitStack() as stack:
        for kind, drawn in zip(MAPS, pixels, strict=True):
            aside = stack.enter_context(replacing(out.with_name(f"{out.name}_{kind}.png")))
            aside.write_bytes(encode_png(drawn))
    row: Row = {"name": out.name, "width": image.shape[1], "height": image.shape[0]}
    row |= shown.row() | {"threshold": model.threshold}
    shares = {"vessel_share": mask, "fov_share": fov, "vessel_share_fov": mask[fov]}
    row |= {column: round(float(of.mean()), 6) for column, of in shares.items()}
    remarks = [_remark(row["vessel_share_fov"], shown)]
    if picture.guessed:
        remarks.append(f"16 bits, read as {picture.depth}, which its greatest value fits in")
    seconds = round(time.perf_counter() - began, 3)
    return row | {"seconds": seconds, "remark": "; ".join(filter(None, remarks))}


def _remark(vessel_share: float, shown: Showing) -> str:
    """What a user should look at; empty where there is nothing."""
    if vessel_share < FEW:
        return (
            "hardly any vessels found; where images are much larger or smaller than those of the "
            "training, --fov-width shows them to the network at another size"
        )
    if shown.sure is not None and shown.sure < UNSURE:
        return (
            "no border shows how large this image is; by its vessels it was shown to the network "
            f"{shown.scale:.3g} times as large, which is not sure: look at the map, or give "
            "--fov-width"
        )
    return ""


def as_png(prob: NDArray[np.float32], bits: int = 8) -> NDArray[Any]:
    """Probability [H, W] in [0, 1] as whole numbers of so many bits, rounded."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.rint(np.clip(prob, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def overlay(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The image [H, W, 3] with the mask tinted in."""
    tinted = image.copy()
    tinted[mask] = (0.4 * image[mask] + 0.6 * VESSEL_COLOUR).astype(np.uint8)
    return tinted
