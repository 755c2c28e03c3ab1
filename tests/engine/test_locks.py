"""Two processes that want the same artifact, on one machine or on several that share a disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from store_stages import run

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import Store


class Waiting(Progress):
    """Collects messages, and does something at the first."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.said: list[str] = []
        self._then = then

    def message(self, text: str) -> None:
        self.said.append(text)
        self._then()


def test_whoever_waits_says_so_once_and_goes_on_when_the_lock_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    with contextlib.ExitStack() as other:
        other.enter_context(store.lock("digest", Progress()))
        progress = Waiting(then=other.close)
        with store.lock("digest", progress):
            pass
    assert progress.said == ["waiting for another process that makes this artifact"]


def test_whoever_waits_stops_when_asked(tmp_path: Path) -> None:
    def stop() -> None:
        progress.stop_requested = True

    store = Store(tmp_path).open()
    progress = Waiting(then=stop)
    with (
        store.lock("digest", Progress()),
        pytest.raises(Interrupted, match="while waiting for another process"),
        store.lock("digest", progress),
    ):
        raise AssertionError("two have the lock")
    with store.lock("digest", progress):  # free again: nobody waits, nobody looks at the request
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(WorkspaceError, match=r"\.locks.*no file locks.*--workspace"):
        run(tmp_path)
    assert not (tmp_path / "store" / "test.count").exists()


def test_other_trouble_with_a_lock_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="broken disk"):
        Store(tmp_path).open()


def test_an_artifact_of_another_machine_that_was_not_seen_in_time_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of NFS may miss a rename for a minute: the work is done twice, nothing is lost."""
    made = run(tmp_path)
    before = (made.path / MANIFEST).stat()
    monkeypatch.setattr(Store, "find", lambda *_: None)
    again = run(tmp_path)
    assert again == made
    assert (made.path / MANIFEST).stat().st_ino == before.st_ino
    assert (made.path / MANIFEST).stat().st_mtime_ns == before.st_mtime_ns
    assert not list(tmp_path.rglob("*.partial"))
