"""Proof that a dataset is sound, or a list of what is wrong with it, file by file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.masks import Mask
from vesselforge.data.layouts.agreement import Depth, depth_warnings, fitted
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.repeats import Look, look_of, repeated
from vesselforge.data.layouts.roles import drawn_in_name
from vesselforge.data.layouts.splits import SPLITS, TEST, TRAIN, VALIDATION
from vesselforge.engine.progress import Progress

MANY_DRAWN = 0.2
"""Share of pictures of two values from which a folder rather holds masks beside its images."""
LISTED = 24
"""Sizes that are listed: a folder from the web may hold as many as images."""
SOME_OUTSIDE, MOST_OUTSIDE = 0.05, 0.5
"""Shares of a mask's vessels outside the FOV from which it is warned of, and from which the FOV is
wrong: inverted, or of another image."""
FEWEST = 3
"""Validation images below which a threshold is mostly chance."""

SILENT = Progress()


@dataclass
class Row:
    """One image. Sizes in pixels, shares in [0, 1]; None where the file could not be read.

    vessel_share: of the reference, inside the FOV. fov: `file`, `derived` or `whole`. sha256: of
    the decoded pixels, whatever the format. mode, labelled, two_valued: channels and depth, whether
    there is a label, and whether it looks like a mask, of sets for the generator alone.
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
    two_valued: bool = False


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
    deep: dict[str, Depth] = {}
    looks: dict[str, Look] = {}
    for done, item in enumerate(items, start=1):
        row = Row(item.id, item.split)
        report.rows.append(row)
        with report.noting(item.image, item.id):
            _examine(item, row, report, deep, looks)
        progress.update(done, len(items), "image")
    for sentence in depth_warnings(deep):
        report.note(where, sentence, severity="warning")
    if dataset.whole:
        _note_drawn(report, where)
    else:
        _note_unlabelled(report, dataset, items)
    _note_unseen_classes(report, dataset)
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


def _examine(
    item: Item, row: Row, report: Report, deep: dict[str, Depth], looks: dict[str, Look]
) -> None:
    """Fill the row, `deep` for an image of 16 bits, and `looks` for one with masks: of others there
    may be too many, and nothing is scored. Raises DataError for an unreadable image; what is wrong
    with masks and FOV is noted."""
    picture = item.read_picture()
    image = picture.spread() if item.whole else picture.rgb()
    row.height, row.width = shape = image.shape[:2]
    row.sha256 = hashlib.sha256(
        f"{image.shape}{image.dtype}".encode() + image.tobytes()
    ).hexdigest()
    row.observers = tuple(item.masks)
    if picture.bits == 16:
        deep[item.id] = Depth.of(picture)
    if item.whole:
        row.fov, row.mode, row.labelled = "whole", picture.mode, item.label is not None
        least, most = image.min(), image.max()
        row.two_valued = bool(least < most and ((image == least) | (image == most)).all())
        return
    looks[item.id] = look_of(image)
    row.fov, where = ("derived", item.image) if item.fov is None else ("file", item.fov)
    fov: Mask | None = None
    with report.noting(where, item.id):
        turn = picture.turn if item.fov is None else item.fov_turn()
        found = fitted(item.read_fov(image), shape, (picture.turn, turn))
        if not found.any():
            raise DataError("the field of view is empty: draw it white")
        fov, row.fov_share = found, round(float(found.mean()), 6)
    for observer, path in item.masks.items():
        with report.noting(path, item.id):
            drawing = item.read_drawing(observer)
            mask = fitted(drawing.vessel, shape, (picture.turn, drawing.turn))
            if not mask.any():
                raise DataError("the vessel mask is empty, expected white vessels on black")
            if mask.mean() > 0.5:
                fault = f"{mask.mean():.0%} of the mask is vessel"
                raise DataError(f"{fault}, expected white vessels on black")
            if drawing.remark:
                report.note(path, drawing.remark, item.id, "warning")
            if fov is not None and observer == row.observers[0]:
                judged = fov if drawing.ignored is None else fov & ~drawing.ignored
                if not judged.any():
                    raise DataError("data.mask_values ignores all of the field of view")
                row.vessel_share = round(float(mask[judged].mean()), 6)
                if row.vessel_share > 0.5:
                    file, kind = where, "it a vessel mask?"
                    if item.fov is None:  # then what was drawn is to blame
                        file, kind = path, "this a FOV? Then move it to fov/"
                    sentence = f"{row.vessel_share:.0%} of the FOV is vessel: is {kind}"
                    report.note(file, sentence, item.id)
                _note_outside(float((mask & ~fov).sum() / mask.sum()), path, item, report)


def _note_outside(share: float, path: Path, item: Item, report: Report) -> None:
    """Vessels outside the FOV, where nothing is learned or scored. share: of all of the mask's."""
    sentence = f"{share:.0%} of its vessels lie outside the field of view"
    if share > MOST_OUTSIDE:
        drawn = "the FOV that is derived from the image: add a file to fov/"
        advice = drawn if item.fov is None else f"{item.fov}: draw the field of view white on black"
        report.note(path, f"{sentence}, {advice}", item.id)
    elif share > SOME_OUTSIDE:
        report.note(path, sentence, item.id, "warning")


def _note_unlabelled(report: Report, dataset: Dataset, items: Sequence[Item]) -> None:
    """Missing reference masks: an error, but the official DRIVE package has none for the test."""
    bare_test = dataset.unlabelled_test and not any(i.masks for i in dataset.split(TEST))
    ids = {item.id for item in items}
    for item in items:
        if not item.masks and not (item.split == TEST and bare_test):
            sentence = (
                f"found no vessel mask for identifier {item.id!r}, expected one: add it or remove "
                "the image"
            )
            if (drawn := drawn_in_name(item.id)) and drawn[1] in ids:
                kind, of = drawn
                sentence = (
                    f"lies among the images, and its name says that it is the {kind} of {of!r}: "
                    f"move it to {'fov' if kind == 'FOV' else 'masks'}/"
                )
            report.note(item.image, sentence, item.id)
    if bare_test and any(item.split == TEST for item in items):
        sentence = "the test images have no vessel masks: they can be segmented but not scored"
        report.note(str(dataset.root), sentence, severity="warning")


def _note_unseen_classes(report: Report, dataset: Dataset) -> None:
    """Classes that the generator could be asked for and would never have seen."""
    told = [item.label for item in dataset.split(TRAIN) if item.label is not None]
    seen = {number for label in told for number, value in enumerate(label) if value}
    unseen = [name for number, name in enumerate(dataset.classes) if number not in seen]
    if unseen:
        sentence = (
            f"no training image has class {', '.join(unseen[:LISTED])}, of {len(dataset.classes)} "
            "classes: add images, number the classes without gaps, hold back fewer images "
            "(data.validation_share), or, where sub-folders are no classes, write a dataset.json "
            'of {"labels": null}'
        )
        report.note(report.root or dataset.name, sentence)


def _note_drawn(report: Report, where: str) -> None:
    """Masks among images for the generator, in a folder or of names that do not say so."""
    drawn = [row.id for row in report.rows if row.two_valued]
    if drawn and len(drawn) < len(report.rows):
        sentence = (
            f"{len(drawn)} of {len(report.rows)} images have two values only, as masks have (the "
            f"first: {drawn[0]}): name the folder of the masks masks/ and that of the images "
            "images/, or move them away"
        )
        few = len(drawn) < MANY_DRAWN * len(report.rows)
        report.note(where, sentence, severity="warning" if few else "error")


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
