"""A foreign folder, or a zip of one, laid out as `paired`: images/, masks/ and fov/ of equal names,
whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.archives import refuse_full, unpack
from vesselforge.data.formats.decoding import turned
from vesselforge.data.formats.images import encode_png, orientation_of, read_picture
from vesselforge.data.layouts.fellow_eyes import fellow_eyes
from vesselforge.data.layouts.folders import sort_pairs
from vesselforge.data.layouts.own_splits import FILE, Listed, list_in, read_splits
from vesselforge.data.layouts.roles import Sorted, is_part
from vesselforge.data.layouts.splits import TRAIN, VALIDATION, deal
from vesselforge.engine.files import whole_folder, write_csv
from vesselforge.engine.progress import Progress

FIFTH = 5
"""One of so many training images is for validation, where a folder has none for that."""


@dataclass(frozen=True)
class Copy:
    """A file to write. plain: its bytes are copied; else it is written upright, as its own tag says
    and then turned by `turn`, an EXIF orientation."""

    source: Path
    folder: str
    id: str
    turn: int = 1
    plain: bool = True

    def write(self, out: Path) -> None:
        """As `<id>` with the file's own suffix, or as an upright PNG without a tag."""
        if self.plain:
            name = self.source.name
            packed = name[-3:] if name.lower().endswith(".gz") else ""
            suffix = Path(name.removesuffix(packed)).suffix + packed
            shutil.copyfile(self.source, out / self.folder / f"{self.id}{suffix}")
            return
        picture = read_picture(self.source)
        pixels = picture.spread() if self.folder == "images" else picture.pixels
        pixels = turned(pixels, self.turn)
        (out / self.folder / f"{self.id}.png").write_bytes(encode_png(pixels))


@dataclass(frozen=True)
class Plan:
    """What an import would write. root: the foreign folder; splits: by identifier, may be empty;
    listed: what its splits.csv says."""

    root: Path
    found: Sorted
    copies: dict[str, list[Copy]]
    splits: dict[str, str]
    listed: Listed

    def rows(self) -> list[dict[str, Any]]:
        """One line an image: which files belong to it, and whether they are turned."""
        columns = {"image": "images", "mask": "masks", "FOV": "fov"}
        rows = []
        for id_, copies in self.copies.items():
            files = {copy.folder: copy.source.relative_to(self.root).as_posix() for copy in copies}
            row: dict[str, Any] = {"id": id_}
            row |= {name: files.get(folder) for name, folder in columns.items()}
            row |= {"split": self.splits[id_]} if self.splits else {}
            rows.append(row | {"turned": [copy.folder for copy in copies if not copy.plain]})
        return rows

    def warnings(self) -> list[str]:
        """That fellow eyes are in different splits, those here or those that a run deals."""
        if self.listed.groups or len(self.copies) < 2:
            return []
        shares = DataSettings().validation_share, DataSettings().test_share
        said = fellow_eyes(self.splits or deal({id_: id_ for id_ in self.copies}, *shares))
        return [said] if said else []

    def write(self, out: Path, progress: Progress) -> None:
        """Fill `out`, which must be absent or empty. Raises DataError and WorkspaceError; then
        there is nothing in it."""
        refuse_full(out)
        if out.resolve().is_relative_to(self.root.resolve()):
            raise DataError(f"{out}: lies in the folder that is imported, expected another place")
        with whole_folder(out) as aside:
            for folder in {copy.folder for copies in self.copies.values() for copy in copies}:
                (aside / folder).mkdir()
            for done, copies in enumerate(self.copies.values(), start=1):
                for copy in copies:
                    copy.write(aside)
                progress.update(done, len(self.copies), "images")
            said = {"split": self.splits, "group": self.listed.groups}
            if said := {column: of for column, of in said.items() if of}:
                # Not the lines as they are: they may name files, which are called otherwise here.
                rows = ([id_, *(of[id_] for of in said.values())] for id_ in self.copies)
                write_csv(aside / FILE, [("id", *said), *rows])


@contextlib.contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A folder, or what is in a zip file while it is open. Raises DataError for neither."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise DataError(f"{source}: no such folder or zip file")
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / source.stem
        unpack([source], folder, is_part)
        try:
            yield folder
        except DataError as error:  # it names files where nobody will find them
            raise DataError(str(error).replace(str(folder), str(source))) from None


def plan(root: Path, pattern: str | None = None, drawn_on: str | None = None) -> Plan:
    """What to write of a folder. pattern: regular expression with a group `id`, else names decide.
    drawn_on: what masks without an EXIF tag fit of an image with one, `stored` or `upright`.

    Raises DataError, with the first and how many more, where an image has no mask or two, a mask no
    image, or where it cannot be told whether a mask is to be turned with its image; nothing is
    guessed.
    """
    found = sort_pairs(root, pattern)
    faults = [str(problem) for problem in found.problems if problem.severity == "error"]
    if not found.labelled and not faults:
        left_out = "; ".join(problem.sentence for problem in found.problems)
        raise DataError(
            f"{root}: found {len(found.images)} images and no masks"
            f"{f' ({left_out})' if left_out else ''}; name the folder of the masks masks/, or let "
            "their names end in _mask, as in eye1_mask.png beside eye1.png"
        )
    faults += [
        f"{path}: found no vessel mask for image {id_!r}: add it, or move the image away"
        for id_, path in found.images.items()
        if id_ not in found.masks
    ]
    if faults:
        more = f" (and {len(faults) - 1} more like this)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}; nothing was written")
    copies = {}
    for id_, image in found.images.items():
        drawn = {"masks": found.masks[id_]} | (
            {"fov": found.fovs[id_]} if id_ in found.fovs else {}
        )
        turn = orientation_of(image)
        copies[id_] = [Copy(image, "images", id_, plain=turn == 1)]
        for folder, path in drawn.items():
            copies[id_].append(_drawn(id_, folder, path, image, turn, drawn_on))
    listed = read_splits(list_in(root), found.images, ())
    splits = {} if listed.splits or listed.groups else _with_validation(found.splits(root))
    return Plan(root, found, copies, listed.splits or splits, listed)


def _drawn(id_: str, folder: str, path: Path, image: Path, turn: int, drawn_on: str | None) -> Copy:
    """A mask or FOV, turned as its own tag says, else with its image if it was drawn on the image
    as it is stored; the sizes tell, of an image that was held sideways."""
    tagged = orientation_of(path) != 1
    if turn == 1 or tagged:
        return Copy(path, folder, id_, plain=not tagged)
    if drawn_on is None:
        upright = read_picture(image).pixels.shape[:2]
        drawn = read_picture(path).pixels.shape[:2]
        if turn < 5 or upright[0] == upright[1] or drawn not in (upright, upright[::-1]):
            raise DataError(
                f"{path}: its image {image.name} is turned by its EXIF tag ({turn}), the mask has "
                "no such tag, and the sizes do not tell whether the mask was drawn on the image as "
                "it is stored or as viewers show it; look, and say --masks-drawn-on stored or "
                "upright"
            )
        drawn_on = "upright" if drawn == upright else "stored"
    stored = drawn_on == "stored"
    return Copy(path, folder, id_, turn if stored else 1, plain=not stored)


def _with_validation(splits: dict[str, str]) -> dict[str, str]:
    """Splits of folders; every fifth training image, the last at least, is for validation where
    there are none."""
    if not splits or VALIDATION in splits.values():
        return splits
    train = sorted(id_ for id_, split in splits.items() if split == TRAIN)
    held = train[FIFTH - 1 :: FIFTH] or train[-1:]
    return splits | dict.fromkeys(held, VALIDATION)
