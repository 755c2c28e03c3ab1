"""Zip files as datasets come in: unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import is_rubbish
from vesselforge.engine.documents import is_plain
from vesselforge.engine.files import whole_folder

MOST_FILES = 100_000
MOST_UNPACKED = 20_000_000_000
"""Bytes of all files of one archive; the largest vessel dataset that we know of has a tenth."""
MOST_RATIO = 200
"""Unpacked over packed bytes of an archive above FREE_BYTES. Masks alone reach some 100."""
FREE_BYTES = 50_000_000


def unpack(archives: Sequence[Path], folder: Path, is_part: Callable[[str], bool]) -> int:
    """Write the files of all archives to `folder`, which must be absent or empty; how many.

    Archives directly inside an archive are unpacked where they lie, as in `datasets.zip` with
    training.zip and test.zip. Rubbish is left out, and so is a folder that holds everything, unless
    it is part of the dataset by its name (images, training, …), which `is_part` tells. Raises
    DataError, naming archive and member, for what is no zip file or a damaged one, for encrypted
    members, links, names with control characters, that lead outside or occur twice, and more than
    the bounds above; WorkspaceError when it cannot be written. Then there is nothing in `folder`.
    """
    refuse_full(folder)
    with whole_folder(folder) as aside:
        for archive in archives:
            _extract(archive, aside, str(archive))
        for inner in sorted(aside.glob("*.zip")) + sorted(aside.glob("*/*.zip")):
            _extract(inner, inner.parent, f"{inner.name} in {', '.join(map(str, archives))}")
            inner.unlink()
        _unwrap(aside, is_part)
        count = sum(path.is_file() for path in aside.rglob("*"))
        if not count:
            raise DataError(f"{', '.join(map(str, archives))}: found no files; download it again")
        return count


def refuse_full(folder: Path) -> None:
    """Raise DataError for a folder that is neither absent nor empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"{folder}: is there already and not empty, expected a new folder; it may hold your "
            "dataset: look, and remove it if not"
        )


def _unwrap(folder: Path, is_part: Callable[[str], bool]) -> None:
    """Leave out single folders around all else."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        if is_part(inside[0].name):
            return
        wrapper = inside[0].rename(folder / ".wrapper")
        for path in list(wrapper.iterdir()):
            path.rename(folder / path.name)
        wrapper.rmdir()


def _extract(archive: Path, out: Path, named: str) -> None:
    """named: what to call the archive."""
    if not archive.is_file():
        raise DataError(f"{named}: no such file; expected a .zip archive")
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in _checked(opened.infolist(), archive.stat().st_size):
                _write(opened, member, out)
    except DataError as error:
        raise DataError(f"{named}: {error}") from None
    except Exception as error:  # damaged archives raise almost any exception
        # EINVAL is of a place before the file's beginning; other faults of the disk are its own.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise DataError(
            f"{named}: cannot be unpacked ({error}), expected a whole .zip file: download it "
            "again, or unpack it by hand (encrypted ones, .tar, .rar, .7z)"
        ) from error


def _checked(members: Sequence[zipfile.ZipInfo], packed: int) -> list[zipfile.ZipInfo]:
    """The members to write; nothing is unpacked before all of them have passed."""
    kept = []
    for member in members:
        member.filename = member.filename.replace("\\", "/")  # as some programs for Windows write
        if not any(map(is_rubbish, member.filename.split("/"))):
            kept.append(member)
    if len(kept) > MOST_FILES:
        raise DataError(f"found more than {MOST_FILES:,} files; unpack it by hand")
    for member in kept:
        shown, name = member.orig_filename[:99], member.filename.rstrip("/")
        parts = name.split("/")
        if (
            not is_plain(member.orig_filename)  # a NUL, too
            or parts[0][1:] == ":"
            or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)
        ):
            raise DataError(
                f"found a file called {shown!r}, expected names of at most 255 bytes that stay "
                "inside the folder; nothing was unpacked: do not trust this archive"
            )
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{shown!r} is a link or device, expected plain files; pack it again")
    total = sum(member.file_size for member in kept)
    most = min(MOST_UNPACKED, max(FREE_BYTES, MOST_RATIO * packed))
    if total > most:
        raise DataError(
            f"{packed:,} bytes would become {total:,}, expected at most {most:,}: images are not "
            "packed like that; if you trust it, unpack it by hand"
        )
    return kept


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, out: Path) -> None:
    target = out / member.filename
    try:
        (target if member.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
        if not member.is_dir():
            with opened.open(member.orig_filename) as source, target.open("xb") as sink:
                shutil.copyfileobj(source, sink)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{member.filename!r} was unpacked already; give it once") from None
