"""Proof that a dataset is sound, or a list of what is wrong with it, file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.channels import Pixels
from vesselforge.data.formats.images import binarise, is_binary, read_grey
from vesselforge.data.layouts.items import Dataset, Item, PhantomItem, Problem, WholeItem
from vesselforge.data.layouts.splits import SPLITS, TEST, TRAIN

GREY_SHARE = 0.2
"""Share of mid-grey pixels from which a mask is rather a photograph or a drawing than a mask."""


@dataclass(frozen=True)
class Row:
    """One image. Sizes in pixels, shares in [0, 1]; None where the file could not be read.

    vessel_share: of the reference, inside the FOV. fov: `file`, `derived` or `whole`.
    mode, labelled: channels and depth, and whether there is a label, of sets for the generator
    alone.
    """

    id: str
    split: str
    height: int | None = None
    width: int | None = None
    vessel_share: float | None = None
    fov_share: float | None = None
    fov: str | None = None
    observers: tuple[str, ...] = ()
    sha256: str | None = None
    mode: str | None = None
    labelled: bool = False


@dataclass
class Report:
    """What `check` found. sha256 of a row is that of the decoded pixels, whatever the format."""

    name: str
    root: str | None
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.problems if p.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return [p for p in self.problems if p.severity == "warning"]

    def splits(self) -> list[dict[str, Any]]:
        """One line a split: images, labelled, observers, sizes (H×W), mean vessel and FOV share."""
        return [_summary(s, [r for r in self.rows if r.split == s]) for s in SPLITS]

    def raise_first(self) -> None:
        """Raise DataError in one line when there is an error."""
        if self.errors:
            more = len(self.errors) - 1
            rest = f" (and {more} more; `vesselforge data check` lists all)" if more else ""
            raise DataError(f"{self.errors[0]}{rest}")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "name": self.name,
            "root": self.root,
            "splits": self.splits(),
            "images": [asdict(row) for row in self.rows],
            "problems": [asdict(p) for p in self.problems],
        }


def check(
    dataset: Dataset,
    splits: Collection[str] = SPLITS,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read every file of the named splits and report. progress: called with (done, total)."""
    report = Report(dataset.name, None if dataset.root is None else str(dataset.root))
    report.problems += dataset.problems
    items = [item for item in dataset if item.split in splits]
    brightest = 0
    for done, item in enumerate(items):
        problems: list[Problem] = []
        try:
            if isinstance(item, WholeItem):
                row, most = _examine_whole(item)
                brightest = max(brightest, most)
            else:
                row = _examine(item, problems)
        except DataError as error:
            row = Row(item.id, item.split)
            problems.append(_from(error, item.image, item))
        report.rows.append(row)
        report.problems += problems
        if progress:
            progress(done + 1, len(items))
    if 0 < brightest < 1 << 14:
        sentence = (
            f"the brightest of all 16-bit values is {brightest}, expected up to 65535: the images "
            "are dark to the networks; scale them when they are converted"
        )
        report.problems.append(Problem("warning", str(dataset.root), sentence))
    if not dataset.whole:
        report.problems += _unlabelled(dataset, items)
    report.problems += _repeated_images(report.rows, items)
    for split in (TRAIN,) if dataset.whole else splits:
        if split != TEST and not dataset.split(split):
            where = str(dataset.root or dataset.name)
            report.problems.append(Problem("error", where, f"found no {split} image, expected one"))
    return report


def _examine_whole(item: WholeItem) -> tuple[Row, int]:
    """Its row, and the greatest of its values where they have 16 bits, else 0."""
    picture = item.read_picture()
    height, width = picture.pixels.shape[:2]
    row = Row(
        item.id,
        item.split,
        height,
        width,
        fov="whole",
        sha256=_digest(picture.pixels),
        mode=picture.mode,
        labelled=item.label is not None,
    )
    return row, int(picture.pixels.max(initial=0)) if picture.bits == 16 else 0


def _examine(item: Item, problems: list[Problem]) -> Row:
    """Raises DataError for an unreadable image."""
    image = item.read_image()
    shape = image.shape[:2]
    fov = _field_of_view(item, image, problems)
    row = Row(
        item.id,
        item.split,
        height=shape[0],
        width=shape[1],
        fov_share=None if fov is None else round(float(fov.mean()), 6),
        fov="file" if item.fov or isinstance(item, PhantomItem) else "derived",
        observers=tuple(item.masks),
        sha256=_digest(image),
    )
    for number, observer in enumerate(item.masks):
        mask = _mask(item, observer, shape, problems)
        if number > 0 or mask is None or fov is None:
            continue
        row = replace(row, vessel_share=round(float(mask[fov].mean()), 6))
        outside = float((mask & ~fov).sum() / max(1, mask.sum()))
        if outside > 0.05:
            sentence = f"{outside:.0%} of its vessels lie outside the field of view"
            problems.append(Problem("warning", str(item.masks[observer]), sentence, item.id))
    return row


def _digest(pixels: Pixels) -> str:
    """Hex SHA-256 of decoded pixels, whatever the file's format."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).hexdigest()


def _field_of_view(
    item: Item, image: NDArray[np.uint8], problems: list[Problem]
) -> NDArray[np.bool_] | None:
    path = item.fov or item.image
    try:
        fov = item.read_fov(image)
    except DataError as error:
        problems.append(_from(error, path, item))
        return None
    if fov.shape != image.shape[:2]:
        problems.append(_wrong_size(path, fov.shape, image.shape[:2], item))
        return None
    if not fov.any():
        sentence = "the field of view is empty: draw it white"
        problems.append(Problem("error", str(path), sentence, item.id))
        return None
    return fov


def _mask(
    item: Item, observer: str, shape: tuple[int, ...], problems: list[Problem]
) -> NDArray[np.bool_] | None:
    if isinstance(item, PhantomItem):
        return item.read_mask(observer)
    path = item.masks[observer]
    try:
        grey = read_grey(path)
    except DataError as error:
        problems.append(_from(error, path, item))
        return None
    if grey.shape != shape:
        problems.append(_wrong_size(path, grey.shape, shape, item))
        return None
    mask = binarise(grey)
    if not is_binary(grey):
        middle = float(((grey > 31) & (grey < 224)).mean())
        severity: Literal["error", "warning"] = "error" if middle > GREY_SHARE else "warning"
        values = len(np.unique(grey))
        sentence = f"found {values} grey values in a mask, expected two; it is cut at 127"
        problems.append(Problem(severity, str(path), sentence, item.id))
    if not mask.any():
        sentence = "the vessel mask is empty, expected white vessels on black"
        problems.append(Problem("error", str(path), sentence, item.id))
    elif mask.mean() > 0.5:
        sentence = f"{mask.mean():.0%} of the mask is vessel, expected white vessels on black"
        problems.append(Problem("error", str(path), sentence, item.id))
    return mask


def _unlabelled(dataset: Dataset, items: Iterable[Item]) -> list[Problem]:
    """Missing reference masks: an error, but the official DRIVE package has none for the test."""
    problems = []
    bare_test = dataset.unlabelled_test and not any(i.masks for i in dataset.split(TEST))
    for item in items:
        if not item.masks and not (item.split == TEST and bare_test):
            sentence = f"found no vessel mask for identifier {item.id!r}, expected one: add it"
            sentence += " or remove the image"
            problems.append(Problem("error", str(item.image), sentence, item.id))
    if bare_test and any(item.split == TEST for item in items):
        sentence = "the test images have no vessel masks: they can be segmented but not scored"
        problems.append(Problem("warning", str(dataset.root), sentence))
    return problems


def _repeated_images(rows: list[Row], items: list[Item]) -> list[Problem]:
    seen: dict[str, tuple[Row, Item]] = {}
    problems = []
    for row, item in zip(rows, items, strict=True):
        if row.sha256 is None:
            continue
        first, other = seen.setdefault(row.sha256, (row, item))
        if first is row or first.id == row.id:
            continue
        if first.split != row.split and not isinstance(item, WholeItem):
            sentence = (
                f"the same pixels as {other.image}: {row.split} and {first.split} overlap; remove "
                "one of them"
            )
            problems.append(Problem("error", str(item.image), sentence, item.id))
        else:
            where = "both in" if first.split == row.split else f"{first.split} and"
            sentence = f"the same pixels as {other.image}, {where} {row.split}: a duplicate"
            problems.append(Problem("warning", str(item.image), sentence, item.id))
    return problems


def _from(error: DataError, path: Path, item: Item) -> Problem:
    """The readers' message begins with the file, which has a field of its own here."""
    return Problem("error", str(path), str(error).removeprefix(f"{path}: "), item.id)


def _wrong_size(
    path: Path, found: tuple[int, ...], expected: tuple[int, ...], item: Item
) -> Problem:
    sentence = (
        f"found {found[0]}×{found[1]} pixels (height×width), expected {expected[0]}×{expected[1]} "
        "as its image has: replace one of the two"
    )
    return Problem("error", str(path), sentence, item.id)


def _summary(split: str, rows: list[Row]) -> dict[str, Any]:
    shares = [r.vessel_share for r in rows if r.vessel_share is not None]
    fovs = [r.fov_share for r in rows if r.fov_share is not None]
    modes = sorted({r.mode for r in rows if r.mode})
    return {
        "split": split,
        "images": len(rows),
        "labelled": sum(bool(r.observers) or r.labelled for r in rows),
        "observers": sorted({o for r in rows for o in r.observers}),
        "sizes": _at_most(sorted({f"{r.height}×{r.width}" for r in rows if r.height})),
        "vessel_share": round(float(np.mean(shares)), 6) if shares else None,
        "fov_share": round(float(np.mean(fovs)), 6) if fovs else None,
        "fov": sorted({r.fov for r in rows if r.fov}),
    } | ({"channels": modes} if modes else {})


def _at_most(sizes: list[str], count: int = 24) -> list[str]:
    """A folder from the web may hold as many sizes as images."""
    more = len(sizes) - count
    return sizes if more <= 1 else [*sizes[:count], f"and {more} more"]
