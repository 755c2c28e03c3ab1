"""Zip files as datasets come in: unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vesselforge.configs.errors import DataError
from vesselforge.engine.folders import whole_folder

MOST_FILES = 100_000
MOST_UNPACKED = 20_000_000_000
"""Bytes of all files of one archive; the largest vessel dataset that we know of has a tenth."""
MOST_RATIO = 200
"""Unpacked over packed bytes of an archive above FREE_BYTES. Masks alone reach some 100."""
FREE_BYTES = 50_000_000
LEFT_OUT = ("__MACOSX", ".DS_Store")
"""What a Mac adds to archives."""
STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PIECE = 1 << 20


def unpack(archives: Sequence[Path], folder: Path) -> int:
    """Write the files of all archives to `folder`, which must be absent or empty; how many.

    Archives directly inside an archive are unpacked where they lie, as in `datasets.zip` with
    training.zip and test.zip; a folder that holds everything and is called as `folder` is left
    out. Raises DataError, naming archive and member, for what is no zip file or a damaged one, for
    encrypted members, links, names that lead outside or occur twice, and more than the bounds
    above; WorkspaceError when it cannot be written. Then there is nothing in `folder`.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"{folder}: is there already and not empty, expected a new folder; it may hold your "
            "dataset: look, and remove it if not"
        )
    with whole_folder(folder) as aside:
        for archive in archives:
            _extract(archive, aside, str(archive))
        for inner in sorted(aside.glob("*.zip")) + sorted(aside.glob("*/*.zip")):
            _extract(inner, inner.parent, f"{inner.name} in {', '.join(map(str, archives))}")
            inner.unlink()
        _unwrap(aside, folder.name)
        count = sum(path.is_file() for path in aside.rglob("*"))
        if not count:
            raise DataError(f"{', '.join(map(str, archives))}: found no files; download it again")
        return count


def _unwrap(folder: Path, name: str) -> None:
    """Leave out a single folder of that name around all else."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and _plain(inside[0].name) == _plain(name):
        wrapper = inside[0].rename(folder / ".wrapper")
        for path in list(wrapper.iterdir()):
            path.rename(folder / path.name)
        wrapper.rmdir()


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    name: PurePosixPath


def _extract(archive: Path, out: Path, named: str) -> None:
    """named: what to call the archive."""
    if not archive.is_file():
        raise DataError(f"{named}: no such file; expected a .zip archive")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened.infolist(), archive.stat().st_size, named)
            for member in members:
                _write(opened, member, out, named)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{named}: not a whole zip archive ({error}); expected a .zip file: download it again, "
            "or unpack other archives (.tar, .rar, .7z) by hand"
        ) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # that is of a place before the file's beginning
            raise
        raise DataError(f"{named}: damaged ({error.strerror}); download it again") from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{named}: damaged ({error}); download it again") from error


def _checked(infos: Iterable[zipfile.ZipInfo], packed: int, named: str) -> list[_Member]:
    """The members to write; nothing is unpacked before all of them have passed."""
    members: list[_Member] = []
    seen: dict[str, str] = {}  # as a file system that ignores case has it → as it is written
    total = 0
    for info in infos:
        name = _checked_name(info, named)
        if any(part in LEFT_OUT for part in name.parts):
            continue
        total += info.file_size
        key = unicodedata.normalize("NFC", str(name)).casefold()
        if key in seen:
            raise DataError(
                f"{named}: found {info.filename!r} twice (as {seen[key]!r}), expected each file "
                "once; pack it again"
            )
        seen[key] = info.filename
        members.append(_Member(info, name))
        if len(members) > MOST_FILES:
            raise DataError(f"{named}: found more than {MOST_FILES:,} files; unpack it by hand")
    if total > MOST_UNPACKED:
        raise DataError(
            f"{named}: would be {total:,} bytes unpacked, expected at most {MOST_UNPACKED:,}; if "
            "you trust it, unpack it by hand"
        )
    if total > max(FREE_BYTES, MOST_RATIO * packed):
        raise DataError(
            f"{named}: {packed:,} bytes would become {total:,}, expected at most {MOST_RATIO} "
            "times as many: images are not packed like that; if you trust it, unpack it by hand"
        )
    return members


def _checked_name(info: zipfile.ZipInfo, named: str) -> PurePosixPath:
    shown = info.orig_filename if len(info.orig_filename) < 100 else info.orig_filename[:99] + "…"
    parts = info.filename.rstrip("/").split("/")
    if (
        info.filename != info.orig_filename  # cut at a NUL
        or "\\" in info.filename
        or not info.filename.isprintable()
        or any(part in ("", ".", "..") for part in parts)
        or (len(parts[0]) == 2 and parts[0][1] == ":")
    ):
        raise DataError(
            f"{named}: found a file called {shown!r}, expected names that stay inside the folder; "
            "nothing was unpacked: do not trust this archive"
        )
    if any(len(part.encode()) > 255 for part in parts):
        raise DataError(f"{named}: found {shown!r}, a name of more than 255 bytes; pack it again")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            f"{named}: {shown!r} is a link or device, expected plain files; pack it again"
        )
    if info.flag_bits & 1:
        raise DataError(f"{named}: {shown!r} is encrypted; unpack it by hand with its password")
    if info.compress_type not in STORED_OR_DEFLATED:
        raise DataError(
            f"{named}: {shown!r} is packed by method {info.compress_type}, expected deflate; "
            "unpack it by hand"
        )
    return PurePosixPath(info.filename)


def _write(opened: zipfile.ZipFile, member: _Member, out: Path, named: str) -> None:
    target = out / member.name
    try:
        if member.info.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        exists = target.exists()
    except (FileExistsError, NotADirectoryError):
        exists = True
    if exists:
        raise DataError(f"{named}: {member.info.filename!r} was unpacked already; give it once")
    left = member.info.file_size
    with opened.open(member.info) as source, target.open("xb") as sink:
        while piece := source.read(PIECE):
            left -= len(piece)
            if left < 0:
                raise DataError(f"{named}: {member.info.filename!r} is longer than it says")
            sink.write(piece)
