"""The store on disks that are full, broken or read-only says so; nothing is half written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import store_stages
from store_stages import run

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.files import write_atomic

pytestmark = pytest.mark.slow


def test_workspace_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match=r"cannot write to the workspace.*--workspace"):
        run(tmp_path / "file" / "workspace")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_read_only_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WorkspaceError, match="cannot write to the workspace"):
        run(tmp_path / "w")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_in_the_middle_of_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    log = tmp_path / "log"
    written = 0

    def write(path: Path, content: bytes | str) -> None:
        nonlocal written
        written += 1
        if written > 5:
            raise OSError(code, os.strerror(code), str(path))
        write_atomic(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store_stages, "write_atomic", write)
        with pytest.raises(WorkspaceError, match=r"no space left.*checkpoints are kept"):
            run(tmp_path / "w", log)
    assert not list(tmp_path.rglob(MANIFEST))
    assert run(tmp_path / "w", log).metrics == {"files": 4}
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_other_system_errors_are_not_blamed_on_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(store_stages, "count", fail)
    with pytest.raises(OSError, match="broken disk"):
        run(tmp_path)


def test_write_atomic_keeps_the_old_content_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
