"""What a folder that people keep adding to holds: whether it changed, and what in it is bad."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.layouts.check import check
from vesselforge.data.prepare import content_hash
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Progress

SHOWN = 3
"""Bad images that a sentence names."""


@dataclass(frozen=True)
class Intake:
    """images: how many are sound; quarantined: identifier → the file and what is wrong with it."""

    images: int
    quarantined: dict[str, str]


def fingerprint(settings: DataSettings) -> str:
    """Hex SHA-256 over names and bytes of every file of the dataset, good or bad, missing or not.

    Nothing is decoded. Equal fingerprints mean that nothing was added, mended or taken away.
    Raises DataError when the folder is missing or holds nothing of its layout.
    """
    dataset = load_settings(settings, lenient=True)
    if dataset.root is None:
        return content_hash(settings)
    total = hashlib.sha256()
    for item in sorted(dataset, key=lambda i: (i.id, i.split)):
        for role, path in sorted(item.files().items()):
            name = path.relative_to(dataset.root).as_posix()
            line = [item.id, item.split, role, name, _content(path)]
            total.update(("\0".join(line) + "\n").encode(errors="surrogateescape"))
    for problem in sorted(dataset.problems, key=str):
        total.update(f"{problem.id}\0{problem.file}\0{_content(Path(problem.file))}\n".encode())
    return total.hexdigest()


def _content(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        return f"unreadable ({error.errno})"


def sort_out(settings: DataSettings, most: float, progress: Progress) -> Intake:
    """Read every file and tell sound images from bad ones, which are to be left out.

    most: share of bad images from which there is rather something wrong with the whole folder.
    Raises DataError then, and for errors that belong to no image.
    """
    dataset = load_settings(settings, lenient=True)
    bad = {problem.id: str(problem) for problem in dataset.problems if problem.id is not None}
    report = check(
        dataset.without(bad), progress=lambda done, total: progress.update(done, total, "image")
    )
    for problem in report.errors:
        if problem.id is not None:
            bad.setdefault(problem.id, str(problem))
    total = len({item.id for item in dataset} | bad.keys())
    if len(bad) > most * total:
        shown = "; ".join(list(bad.values())[:SHOWN])
        raise DataError(
            f"{dataset.root}: {len(bad)} of {total} images are bad, more than "
            f"retrain.max_quarantined: {most:g} allows; check that the folder is mounted and "
            f"whole. The first: {shown}"
        )
    for problem in report.errors:
        if problem.id is None:
            raise DataError(str(problem))
    return Intake(total - len(bad), dict(sorted(bad.items())))
