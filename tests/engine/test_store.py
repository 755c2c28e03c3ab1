"""The artifact store: whole or absent, resumed after any death, never silently damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import store_stages
from pydantic import Field
from store_stages import READER, STAGE, CountSettings, run

from vesselforge.configs.base import Settings, operational
from vesselforge.configs.errors import DataError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST, SCRATCH, address
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import DamagedArtifact, Store, whole_artifact

pytestmark = pytest.mark.slow


def start(workspace: Path, log: Path, pause_before: int = -1) -> subprocess.Popen[bytes]:
    arguments = [str(workspace), str(log), "3", str(pause_before)]
    return subprocess.Popen([sys.executable, store_stages.__file__, *arguments])


def wait_for(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def partial_of(workspace: Path) -> Path:
    digest = address(STAGE.kind, STAGE.version, CountSettings(value=3), {})
    return workspace / "store" / STAGE.kind / f"{digest}.partial"


def test_an_artifact_is_its_files_and_a_manifest(tmp_path: Path) -> None:
    made = run(tmp_path)
    assert sorted(p.name for p in made.path.iterdir()) == [
        *(f"{n}.txt" for n in range(4)),
        MANIFEST,
        "metrics.json",
    ]
    assert made.metrics == {"files": 4}
    assert made.kind == "test.count"
    assert made.path.name == made.digest
    for name, digest in made.manifest["files"].items():
        assert file_sha256(made.path / name) == digest
    assert not list(tmp_path.rglob("*.partial"))


def test_finished_work_is_not_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = run(tmp_path / "w", log)
    again = run(tmp_path / "w", log)
    assert again == first
    assert log.read_text().split() == ["0", "1", "2", "3"]
    run(tmp_path / "w", log, value=4)
    assert len(log.read_text().split()) == 8


def test_addresses_follow_what_the_result_depends_on() -> None:
    class Inner(Settings):
        width: int = 1
        device: str = operational("cpu")

    class Outer(Settings):
        inner: Inner = Inner()
        several: list[Inner] = Field([Inner()])
        named: dict[str, Inner] = Field({"one": Inner()})
        every: int = operational(50)

    def at(settings: Settings, version: int = 1, **inputs: str) -> str:
        return address("kind", version, settings, inputs)

    plain = at(Outer())
    other = Inner(device="cuda")
    assert plain == at(Outer(every=7, inner=other, several=[other], named={"one": other}))
    others = {
        at(Outer(inner=Inner(width=2))),
        at(Outer(several=[Inner(width=2)])),
        at(Outer(named={"one": Inner(width=2)})),
        at(Outer(), version=2),
        at(Outer(), images="a"),
        at(Outer(), images="b"),
        at(Outer(), masks="a"),
        address("other", 1, Outer(), {}),
    }
    assert len(others | {plain}) == 9
    assert at(Outer(), a="1", b="2") == at(Outer(), b="2", a="1")


@pytest.mark.parametrize("pause_before", [0, 2, 3])
def test_kill_9_leaves_no_artifact_and_the_rest_is_resumed(
    tmp_path: Path, pause_before: int
) -> None:
    log, workspace = tmp_path / "log", tmp_path / "w"
    process = start(workspace, log, pause_before)
    wait_for(partial_of(workspace) / f".{pause_before}.txt.tmp")
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert [p.name for p in (workspace / "store/test.count").iterdir()] == [
        partial_of(workspace).name
    ]
    resumed = run(workspace, log)
    assert log.read_text().split() == ["0", "1", "2", "3"]  # nothing was done twice
    undisturbed = run(tmp_path / "other")
    assert resumed.manifest["files"] == undisturbed.manifest["files"]
    assert resumed.digest == undisturbed.digest
    assert not partial_of(workspace).exists()


def test_killed_just_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifest written, folder not yet renamed: the work is found finished, and published."""

    class Killed(BaseException):
        pass

    def die(self: Path, target: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            run(tmp_path)
    assert Store(tmp_path).find(STAGE.kind, partial_of(tmp_path).stem) is None
    made = run(tmp_path)
    assert MANIFEST not in made.manifest["files"]
    assert whole_artifact(made.path) == made


def test_a_failing_stage_leaves_no_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(store_stages, "count", fail)
        with pytest.raises(ValueError, match="bug"):
            run(tmp_path)
    assert not list(tmp_path.rglob(MANIFEST))
    assert run(tmp_path).metrics == {"files": 4}


def test_two_processes_produce_once(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", tmp_path / "w"
    processes = [start(workspace, log) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_a_process_waits_for_the_one_at_work_and_takes_over_when_it_dies(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", tmp_path / "w"
    first = start(workspace, log, pause_before=2)
    wait_for(partial_of(workspace) / ".2.txt.tmp")
    second = start(workspace, log)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.5)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    assert second.wait(60) == 0
    assert log.read_text().split() == ["0", "1", "2", "3"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "missing", "manifest", "not-json"])
def test_damage_is_found_set_aside_and_repaired(tmp_path: Path, how: str) -> None:
    made = run(tmp_path)
    named = "2.txt"
    if how == "flipped":
        flip(made.path / "2.txt")
    elif how == "missing":
        (made.path / "2.txt").unlink()
    else:
        named = MANIFEST
        (made.path / MANIFEST).write_text("[]" if how == "manifest" else '{"files": ')
    with pytest.raises(DamagedArtifact, match=rf"{named}: .*moved to .*\.damaged") as caught:
        run(tmp_path)
    assert isinstance(caught.value, WorkspaceError)
    assert made.path.with_name(f"{made.digest}.damaged").is_dir()
    assert run(tmp_path).manifest["files"] == made.manifest["files"]


def test_outside_files_that_change_while_they_are_read_make_no_artifact(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "w").open(), tmp_path / "log"
    log.write_text("as it was hashed\n")
    settings = CountSettings(value=3, log=log)
    hashes = store_stages.hashes(settings)
    with pytest.raises(DataError, match=r"log: its files changed while test\.read read them"):
        store.produce(READER, settings, {}, Progress(), hashes)  # it writes to the log itself
    assert not list((tmp_path / "w").rglob(MANIFEST))
    [partial] = (tmp_path / "w" / "store" / "test.read").iterdir()
    (partial / "of-the-other-files.txt").write_text("stale")
    silent = CountSettings(value=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_stages, "hashes", lambda _: hashes)
        made = store.produce(READER, silent, {}, Progress(), hashes)
    assert set(made.manifest["files"]) == {"metrics.json", *(f"{n}.txt" for n in range(4))}


def test_checkpoints_are_not_part_of_an_artifact(tmp_path: Path) -> None:
    made = run(tmp_path)
    assert not (made.path / SCRATCH).exists()
    assert not any(name.startswith(SCRATCH) for name in made.manifest["files"])


def test_a_workspace_opens_for_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Store(tmp_path).open(), range(400)))
    assert not list((tmp_path / "store" / ".locks").iterdir())


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5]})
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["a", "b"]
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "b.json", {"loss": float("nan")})


def test_a_locked_digest_does_not_block_another(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    with store.lock("somebody-elses", Progress()):
        made = store.produce(STAGE, CountSettings(value=1), {}, Progress())
    assert made.metrics == {"files": 4}
