"""Zip files of datasets, honest, clumsy and hostile ones: whole in their folder, or nothing."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import vesselforge.data.formats.archives
from vesselforge.configs.errors import DataError, WorkspaceError
from vesselforge.data.formats.archives import unpack
from vesselforge.data.layouts.roles import is_part

Make = Callable[[zipfile.ZipFile], None]


def packed(path: Path, *names: str, make: Make | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
        if make is not None:
            make(archive)
    return path


def unpacked(archives: list[Path], folder: Path) -> int:
    return unpack(archives, folder, is_part)


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_several_archives_become_one_folder(tmp_path: Path) -> None:
    archives = [
        packed(tmp_path / "training.zip", "training/images/21.tif", "training/mask/21.gif"),
        packed(tmp_path / "test.zip", "test/images/01.tif", "__MACOSX/._01.tif", "test/.DS_Store"),
    ]
    assert unpacked(archives, tmp_path / "datasets/DRIVE") == 3
    found = files(tmp_path / "datasets")
    assert found == {
        "DRIVE/training/images/21.tif", "DRIVE/training/mask/21.gif", "DRIVE/test/images/01.tif",
    }  # fmt: skip
    text = (tmp_path / "datasets/DRIVE/test/images/01.tif").read_text()
    assert text == "content of test/images/01.tif"


def test_archives_in_an_archive_and_a_folder_around_all(tmp_path: Path) -> None:
    inner = packed(tmp_path / "training.zip", "training/images/21.tif").read_bytes()

    def wrapped(archive: zipfile.ZipFile) -> None:
        archive.writestr("Drive/training.zip", inner)

    outer = packed(tmp_path / "all.zip", "Drive/test/images/01.tif", make=wrapped)
    unpacked([outer], tmp_path / "DRIVE")
    assert files(tmp_path / "DRIVE") == {"test/images/01.tif", "training/images/21.tif"}


def test_a_folder_that_is_part_of_the_layout_stays(tmp_path: Path) -> None:
    unpacked([packed(tmp_path / "training.zip", "training/images/21.tif")], tmp_path / "DRIVE")
    assert files(tmp_path / "DRIVE") == {"training/images/21.tif"}


def test_any_single_folder_around_all_is_left_out(tmp_path: Path) -> None:
    names = ("images/1.png", "masks/1.png")
    wrapped = packed(tmp_path / "MyData v2.zip", *(f"My Data v2/export/{name}" for name in names))
    unpacked([wrapped], tmp_path / "mine")
    assert files(tmp_path / "mine") == set(names)
    half = packed(tmp_path / "images.zip", "Images/1.png")
    unpacked([half], tmp_path / "half")
    assert files(tmp_path / "half") == {"Images/1.png"}


def test_names_of_windows_and_what_systems_add(tmp_path: Path) -> None:
    names = (
        "set\\images\\1.png", "set\\masks\\1.png", "set\\images\\Thumbs.db", "set\\desktop.ini",
        "__MACOSX/set/._1.png", "set/images/._1.png", ".DS_Store", "set/.wrapper/2.png",
    )  # fmt: skip
    unpacked([packed(tmp_path / "a.zip", *names)], tmp_path / "out")
    assert files(tmp_path / "out") == {"images/1.png", "masks/1.png"}
    assert (tmp_path / "out/masks/1.png").read_text() == "content of set\\masks\\1.png"


@pytest.mark.parametrize("space", ["\u202f", "\u00a0", "\u3000", "\u2028", "\u200b"])
def test_spaces_that_are_not_printed(tmp_path: Path, space: str) -> None:
    name = f"images/eye 1{space}PM.png"
    unpacked([packed(tmp_path / "a.zip", name)], tmp_path / "out")
    assert files(tmp_path / "out") == {name}


def entry(name: str, content: bytes = b"x", mode: int = 0, system: int = 3) -> Make:
    def make(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = system, mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, content)

    return make


def encrypted(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def other_method(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 10] = 97
    path.write_bytes(content)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\3\4") + 40] ^= 255
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def beheaded(path: Path) -> None:
    path.write_bytes(path.read_bytes()[26:])


HOSTILE: dict[str, tuple[Make | None, Callable[[Path], None] | None, str]] = {
    "traversal": (entry("../out.txt"), None, "'../out.txt', expected names of at most 255"),
    "this folder": (entry("./out.txt"), None, "stay inside the folder"),
    "traversal inside": (entry("a/../../out.txt"), None, "stay inside the folder"),
    "absolute": (entry("/out.txt"), None, "stay inside the folder"),
    "drive": (entry("C:/out.txt"), None, "stay inside the folder"),
    "backslashes up": (entry("a\\..\\..\\out.txt"), None, "stay inside the folder"),
    "backslash first": (entry("\\out.txt"), None, "stay inside the folder"),
    "drive with backslash": (entry("C:\\out.txt"), None, "stay inside the folder"),
    "control": (entry("a\nb.txt"), None, "stay inside the folder"),
    "delete": (entry("a\x7f.txt"), None, "stay inside the folder"),
    "next line": (entry("a\x85.txt"), None, "stay inside the folder"),
    "long": (entry("x" * 300), None, "at most 255 bytes"),
    "link": (entry("l", b"/etc/passwd", stat.S_IFLNK | 0o777), None, "is a link or device"),
    "fifo": (entry("f", b"", stat.S_IFIFO | 0o644), None, "is a link or device"),
    "twice": (entry("a.txt"), None, "'a.txt' was unpacked already"),
    "file as folder": (entry("a.txt/b.txt"), None, "'a.txt/b.txt' was unpacked already"),
    "bomb": (entry("zeros", bytes(60_000_000)), None, "60,000,016, expected at most 50,000,000"),
    "encrypted": (None, encrypted, "'a.txt' is encrypted"),
    "method": (None, other_method, "cannot be unpacked"),
    "flipped": (None, flipped, "cannot be unpacked"),
    "beheaded": (None, beheaded, "cannot be unpacked"),
    "truncated": (None, truncated, "expected a whole .zip file"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_damaged_archives(case: str, tmp_path: Path) -> None:
    make, damage, message = HOSTILE[case]
    sound = packed(tmp_path / "sound.zip", "sound.txt")
    bad = packed(tmp_path / "bad.zip", "a.txt", make=make)
    if damage is not None:
        damage(bad)
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError) as caught:
        unpacked([sound, bad], tmp_path / "in/DRIVE")
    assert str(caught.value).startswith(f"{bad}: ")
    assert message in str(caught.value) or case == "flipped"
    assert files(tmp_path) == {"sound.zip", "bad.zip"}
    assert not list((tmp_path / "in").iterdir())


def test_a_declared_size_beyond_all_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vesselforge.data.formats.archives, "MOST_UNPACKED", 30)
    path = packed(tmp_path / "a.zip", "one.txt", "two.txt")
    with pytest.raises(DataError, match=r"would become 36, expected at most 30"):
        unpacked([path], tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(vesselforge.data.formats.archives, "MOST_FILES", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        unpacked([path], tmp_path / "out")


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", "one.txt")
    (tmp_path / "out").mkdir()
    assert unpacked([path], tmp_path / "out") == 1  # an empty folder is no loss
    with pytest.raises(DataError, match="is there already and not empty"):
        unpacked([path], tmp_path / "out")


def test_no_archive_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")
    memory = io.BytesIO()
    zipfile.ZipFile(memory, "w").close()
    (tmp_path / "a.zip").write_bytes(memory.getvalue())
    with pytest.raises(DataError, match="found no files"):
        unpacked([tmp_path / "a.zip"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="cannot be written"):
        unpacked([packed(tmp_path / "a.zip", "one.txt")], tmp_path / "file/out")
