"""`generator.start_from` before any work starts: what it may be, and what makes it another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesselforge.configs.errors import DataError
from vesselforge.pipeline.record import found_start, hash_of

SETTING = "generator.start_from"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "generator"
    path.mkdir()
    (path / "generator.json").write_text("{}")
    (path / "generator.safetensors").write_bytes(b"weights")
    return path


def test_what_may_be_a_start(folder: Path, tmp_path: Path) -> None:
    assert found_start(folder) == folder
    (tmp_path / "a.pkl").write_bytes(b"\x80\x03}")
    assert found_start(tmp_path / "a.pkl") == tmp_path / "a.pkl"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nothing.pkl", "no such file or folder"),
        ("", "no generator.json in it"),
        ("page.pkl", "no pickle"),
        ("empty.pkl", "no pickle"),
        ("a.safetensors", "no pickle"),
    ],
)
def test_what_may_not(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / "page.pkl").write_text("<html>not found</html>")
    (tmp_path / "empty.pkl").touch()
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")  # an export
    expected = "expected an official .pkl, .* that comes with VesselForge .there are: "
    with pytest.raises(DataError, match=f"start_from: .*{fault}.*; {expected}"):
        found_start(tmp_path / name)


def test_a_folder_counts_by_its_networks(folder: Path, tmp_path: Path) -> None:
    first = hash_of(SETTING, folder)
    assert len(first) == 64
    (folder / "grid-000004.png").touch()  # what cannot matter to a start does not
    assert hash_of(SETTING, folder) == first
    moved = folder.rename(tmp_path / "elsewhere")
    assert hash_of(SETTING, moved) == first
    (moved / "generator.safetensors").write_bytes(b"weights!")
    second = hash_of(SETTING, moved)
    (moved / "generator.json").write_text('{"resolution": 32}')
    assert len({first, second, hash_of(SETTING, moved)}) == 3
    (moved / "generator.json").unlink()
    with pytest.raises(DataError, match="elsewhere cannot be read"):
        hash_of(SETTING, moved)
