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
from vesselforge.data.formats.archives import refuse_full, unpack
from vesselforge.data.layouts.folders import sort_pairs
from vesselforge.data.layouts.own_splits import FILE, Listed, list_in, read_splits
from vesselforge.data.layouts.roles import Sorted, is_part
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.files import whole_folder, write_csv
from vesselforge.engine.progress import Progress

FIFTH = 5
"""One of so many training images is for validation, where a folder has none for that."""


@dataclass(frozen=True)
class Plan:
    """What an import would write. root: the foreign folder; copies: identifier → folder to write to
    → file; splits: by identifier, may be empty; listed: what its splits.csv says."""

    root: Path
    found: Sorted
    copies: dict[str, dict[str, Path]]
    splits: dict[str, str]
    listed: Listed

    def rows(self) -> list[dict[str, Any]]:
        """One line an image: which files belong to it."""
        columns = {"image": "images", "mask": "masks", "FOV": "fov"}
        rows = []
        for id_, copies in self.copies.items():
            files = {folder: path.relative_to(self.root) for folder, path in copies.items()}
            row: dict[str, Any] = {"id": id_}
            for name, folder in columns.items():
                row[name] = files[folder].as_posix() if folder in files else None
            rows.append(row | ({"split": self.splits[id_]} if self.splits else {}))
        return rows

    def write(self, out: Path, progress: Progress) -> None:
        """Fill `out`, which must be absent or empty. Raises DataError and WorkspaceError; then
        there is nothing in it."""
        refuse_full(out)
        if out.resolve().is_relative_to(self.root.resolve()):
            raise DataError(f"{out}: lies in the folder that is imported, expected another place")
        with whole_folder(out) as aside:
            for done, (id_, copies) in enumerate(self.copies.items(), start=1):
                for folder, path in copies.items():
                    (aside / folder).mkdir(exist_ok=True)
                    packed = path.name[-3:] if path.name.lower().endswith(".gz") else ""
                    suffix = Path(path.name.removesuffix(packed)).suffix + packed
                    shutil.copyfile(path, aside / folder / f"{id_}{suffix}")
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


def plan(root: Path, pattern: str | None = None) -> Plan:
    """What to write of a folder. pattern: regular expression with a group `id`, else names decide.

    Raises DataError, with the first and how many more, where an image has no mask or two, or a mask
    no image; nothing is guessed.
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
    folders = {"images": found.images, "masks": found.masks, "fov": found.fovs}
    copies = {
        id_: {folder: files[id_] for folder, files in folders.items() if id_ in files}
        for id_ in found.images
    }
    listed = read_splits(list_in(root), found.images, ())
    splits = {} if listed.splits or listed.groups else _with_validation(found.splits(root))
    return Plan(root, found, copies, listed.splits or splits, listed)


def _with_validation(splits: dict[str, str]) -> dict[str, str]:
    """Splits of folders; every fifth training image, the last at least, is for validation where
    there are none."""
    if not splits or VALIDATION in splits.values():
        return splits
    train = sorted(id_ for id_, split in splits.items() if split == TRAIN)
    held = train[FIFTH - 1 :: FIFTH] or train[-1:]
    return splits | dict.fromkeys(held, VALIDATION)
