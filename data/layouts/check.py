"""Proof that a dataset is sound, or a list of what is wrong with it, file by file; and which images
of a folder that people keep adding to are to be left out."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.formats.images import binarise, is_binary
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.repeats import Look, look_of, repeated
from vesselforge.data.layouts.splits import SPLITS, TEST, TRAIN, VALIDATION
from vesselforge.engine.progress import Progress

GREY_SHARE = 0.2
"""Share of mid-grey pixels from which a mask is rather a photograph or a drawing than a mask."""
LISTED = 24
"""Sizes that are listed: a folder from the web may hold as many as images."""
MOST_BAD = 0.2
"""Share of bad images from which a folder is rather not mounted than badly annotated."""
FEWEST = 3
"""Validation images below which a threshold is mostly chance."""
SHOWN = 3
"""Bad images that a sentence names."""

T = TypeVar("T", bound=np.generic)
SILENT = Progress()
Mask = NDArray[np.bool_]


@dataclass
class Row:
    """One image. Sizes in pixels, shares in [0, 1]; None where the file could not be read.

    vessel_share: of the reference, inside the FOV. fov: `file`, `derived` or `whole`. sha256: of
    the decoded pixels, whatever the format. mode, labelled: channels and depth, and whether there
    is a label, of sets for the generator alone.
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
    """What `check` found."""

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
        whole = asdict(self)
        return whole | {"splits": self.splits(), "images": whole.pop("rows")}

    def note(
        self,
        path: Path | str,
        sentence: str,
        id_: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Add a problem."""
        self.problems.append(Problem(severity, str(path), sentence, id_))

    @contextlib.contextmanager
    def noting(self, path: Path, id_: str) -> Iterator[None]:
        """Add what is raised. Readers' messages begin with the file, which has a field here."""
        try:
            yield
        except DataError as error:
            self.note(path, str(error).removeprefix(f"{path}: "), id_)


def check(
    dataset: Dataset, splits: Collection[str] = SPLITS, progress: Progress = SILENT
) -> Report:
    """Read every file of the named splits and report."""
    root = None if dataset.root is None else str(dataset.root)
    report = Report(dataset.name, root, problems=list(dataset.problems))
    where = root or dataset.name
    items = [item for item in dataset if item.split in splits]
    brightest = 0  # of all 16-bit values
    looks: dict[str, Look] = {}
    for done, item in enumerate(items, start=1):
        row = Row(item.id, item.split)
        report.rows.append(row)
        with report.noting(item.image, item.id):
            brightest = max(brightest, _examine(item, row, report, looks))
        progress.update(done, len(items), "image")
    if 0 < brightest < 1 << 14:
        sentence = (
            f"the brightest of all 16-bit values is {brightest}, expected up to 65535: the images "
            "are dark to the networks; scale them when they are converted"
        )
        report.note(where, sentence, severity="warning")
    if not dataset.whole:
        _note_unlabelled(report, dataset, items)
    hashes = [row.sha256 for row in report.rows]
    report.problems += repeated(items, hashes, [looks.get(item.id) for item in items])
    held = sum(item.split == VALIDATION for item in items)
    if 0 < held < FEWEST and not dataset.whole:
        sentence = (
            f"found {held} validation image{'s' * (held > 1)}, expected at least {FEWEST}: the "
            "threshold and the best step are chosen there, and differ much from image to image; "
            "raise data.validation_share, or cross-validate with data.folds"
        )
        report.note(where, sentence, severity="warning")
    for split in (TRAIN,) if dataset.whole else splits:
        if split != TEST and not dataset.split(split):
            report.note(where, f"found no {split} image, expected one")
    return report


def _examine(item: Item, row: Row, report: Report, looks: dict[str, Look]) -> int:
    """The greatest value of an image of 16 bits for the generator alone, 0 of others. Raises
    DataError for an unreadable image; what is wrong with masks and FOV is noted. looks: by
    identifier, of images with masks; of others there may be too many, and nothing is scored."""
    picture = item.read_picture()
    image = picture.pixels if item.whole else picture.rgb()
    row.height, row.width = shape = image.shape[:2]
    row.sha256 = hashlib.sha256(
        f"{image.shape}{image.dtype}".encode() + image.tobytes()
    ).hexdigest()
    row.observers = tuple(item.masks)
    if item.whole:
        row.fov, row.mode, row.labelled = "whole", picture.mode, item.label is not None
        return int(image.max(initial=0)) if picture.bits == 16 else 0
    looks[item.id] = look_of(image)
    row.fov, where = ("derived", item.image) if item.fov is None else ("file", item.fov)
    fov: Mask | None = None
    with report.noting(where, item.id):
        found = _as_large(item.read_fov(image), shape)
        if not found.any():
            raise DataError("the field of view is empty: draw it white")
        fov, row.fov_share = found, round(float(found.mean()), 6)
    for observer, path in item.masks.items():
        with report.noting(path, item.id):
            mask = _mask(_as_large(item.read_grey(observer), shape), path, item, report)
            if fov is not None and observer == row.observers[0]:
                row.vessel_share = round(float(mask[fov].mean()), 6)
                outside = float((mask & ~fov).sum() / mask.sum())
                if outside > 0.05:
                    sentence = f"{outside:.0%} of its vessels lie outside the field of view"
                    report.note(path, sentence, item.id, "warning")
    return 0


def _mask(grey: NDArray[np.uint8], path: Path, item: Item, report: Report) -> Mask:
    """The mask in a file's values. Raises DataError for one that is empty or inverted."""
    mask = binarise(grey)
    if not is_binary(grey):
        drawn = float(((grey > 31) & (grey < 224)).mean()) > GREY_SHARE
        values = len(np.unique(grey))
        sentence = f"found {values} grey values in a mask, expected two; it is cut at 127"
        report.note(path, sentence, item.id, "error" if drawn else "warning")
    if not mask.any():
        raise DataError("the vessel mask is empty, expected white vessels on black")
    if mask.mean() > 0.5:
        raise DataError(f"{mask.mean():.0%} of the mask is vessel, expected white vessels on black")
    return mask


def _as_large(found: NDArray[T], shape: tuple[int, ...]) -> NDArray[T]:
    if found.shape != shape:
        sizes = [f"{height}×{width}" for height, width in (found.shape, shape)]
        raise DataError(
            f"found {sizes[0]} pixels (height×width), expected {sizes[1]} as its image has: "
            "replace one of the two"
        )
    return found


def _note_unlabelled(report: Report, dataset: Dataset, items: Sequence[Item]) -> None:
    """Missing reference masks: an error, but the official DRIVE package has none for the test."""
    bare_test = dataset.unlabelled_test and not any(i.masks for i in dataset.split(TEST))
    for item in items:
        if not item.masks and not (item.split == TEST and bare_test):
            sentence = f"found no vessel mask for identifier {item.id!r}, expected one: add it"
            report.note(item.image, f"{sentence} or remove the image", item.id)
    if bare_test and any(item.split == TEST for item in items):
        sentence = "the test images have no vessel masks: they can be segmented but not scored"
        report.note(str(dataset.root), sentence, severity="warning")


def _summary(split: str, rows: Sequence[Row]) -> dict[str, Any]:
    def mean(name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return round(float(np.mean(values)), 6) if values else None

    sizes = sorted({f"{r.height}×{r.width}" for r in rows if r.height})
    more = len(sizes) - LISTED
    modes = sorted({r.mode for r in rows if r.mode})
    return {
        "split": split,
        "images": len(rows),
        "labelled": sum(bool(r.observers) or r.labelled for r in rows),
        "observers": sorted({o for r in rows for o in r.observers}),
        "sizes": sizes[:LISTED] + ([f"and {more} more"] if more > 0 else []),
        "vessel_share": mean("vessel_share"),
        "fov_share": mean("fov_share"),
        "fov": sorted({r.fov for r in rows if r.fov}),
    } | ({"channels": modes} if modes else {})


@dataclass(frozen=True)
class Intake:
    """images: how many are sound; quarantined: identifier → the file and what is wrong with it;
    splits: identifier → split of all, which stay there when bad ones are left out."""

    images: int
    quarantined: dict[str, str]
    splits: dict[str, str] = field(default_factory=dict)


def sort_out(settings: DataSettings, progress: Progress) -> Intake:
    """Read every file and tell sound images from bad ones, which are to be left out.

    Raises DataError where more than MOST_BAD are bad, and for errors that belong to no image.
    """
    dataset = load_settings(settings, lenient=True)
    bad = {problem.id: str(problem) for problem in dataset.problems if problem.id is not None}
    report = check(dataset.without(bad), progress=progress)
    for problem in report.errors:
        if problem.id is not None:
            bad.setdefault(problem.id, str(problem))
    total = len({item.id for item in dataset} | bad.keys())
    if len(bad) > MOST_BAD * total:
        shown = "; ".join(list(bad.values())[:SHOWN])
        raise DataError(
            f"{dataset.root}: {len(bad)} of {total} images are bad, more than {MOST_BAD:.0%}; "
            f"check that the folder is mounted and whole. The first: {shown}"
        )
    for problem in report.errors:
        if problem.id is None:
            raise DataError(str(problem))
    splits = {item.id: item.split for item in dataset}
    return Intake(total - len(bad), dict(sorted(bad.items())), splits)
