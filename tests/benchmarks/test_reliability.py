"""The kill test's plan, and the look that finds what is half-written."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.reliability import kill, kill_chain, kill_local, kill_served
from benchmarks.reliability.pipeline import contents, half_written
from benchmarks.reliability.processes import STAGE, family, living, running, stages, until
from benchmarks.reliability.reference import Reference
from benchmarks.reliability.tables import markdown
from vesselforge.configs.base import Settings
from vesselforge.engine.artifacts import Stage
from vesselforge.engine.files import write_atomic
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store

STEPS = ["development images", "teacher", "generator", "samples"]


class Nothing(Settings):
    pass


def made(workspace: Path) -> Path:
    """A finished artifact of one file."""
    stage = Stage("test.kind", 1, f"{__name__}:fill", Nothing)
    return Store(workspace).open().produce(stage, Nothing(), {}, Progress()).path


def fill(settings: Nothing, inputs: object, out: Path, progress: Progress) -> None:
    write_atomic(out / "weights.bin", bytes(range(256)))


def test_what_is_half_written_is_found(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder.with_name("0" * 24 + ".partial") / "checkpoint").mkdir(parents=True)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "run.json").write_text('{"name": "mine"}')
    (tmp_path / "runs" / "mine" / "report.html").write_text("<html></html>\n")
    assert half_written(tmp_path) == []
    (folder / ".weights.bin.1.tmp").touch()
    (folder / "weights.bin").write_bytes(b"")
    folder.with_name("f" * 24).mkdir()
    folder.with_name(f"{folder.name}.damaged").mkdir()
    (tmp_path / "runs" / "mine" / "run.json").write_text('{"na')
    (tmp_path / "runs" / "mine" / "report.html").write_text("<html>")
    found = "\n".join(half_written(tmp_path))
    for words in ("content differs", "f" * 24, ".damaged", ".tmp", "not JSON", "cut short"):
        assert words in found
    assert len(half_written(tmp_path)) == 6


def test_every_step_is_hit_and_a_seed_means_the_same_kills() -> None:
    plan = kill.plan(60, 10, random.Random(3), STEPS)
    assert plan == kill.plan(60, 10, random.Random(3), STEPS)
    assert plan != kill.plan(60, 10, random.Random(4), STEPS)
    local = Counter(turn.target for turn in plan if not turn.served)
    assert local.keys() == {kill_chain.START, *STEPS, kill_chain.REPORT}
    assert max(local.values()) - min(local.values()) <= 1 and local.total() == 50
    assert {turn.victim for turn in plan if turn.served} == set(kill_served.VICTIMS)
    assert {turn.victim for turn in plan if not turn.served} == set(kill_local.VICTIMS)
    chains = list(kill_chain.chains(plan, 3, STEPS))
    assert Counter(turn for chain in chains for turn in chain) == Counter(plan)
    order = [kill_chain.START, *STEPS, kill_chain.REPORT]
    for chain in chains:
        places = [order.index(turn.target) for turn in chain]
        assert len(chain) <= 3 and places == sorted(set(places))
        assert len({turn.served for turn in chain}) == 1


class Pretended:
    """A driver whose runs do a step each time they are looked at.."""

    poll_s = 0.0

    def __init__(self, reference: Reference, folder: Path, spoil: bool = False) -> None:
        self.workspace, self.begun, self.struck = folder, 0, list[str]()
        self._reference, self._spoil, self._running = reference, spoil, False

    def begin(self) -> None:
        self.begun, self._running = self.begun + 1, True

    def over(self) -> bool:
        if self._running:
            made(self.workspace)
            if self._spoil:
                (self.workspace / "store" / "test.kind" / ("e" * 24)).mkdir(exist_ok=True)
            self._running = contents(self.workspace) != contents(self._reference.workspace)
        return not self._running

    def well(self) -> bool:
        return self.begun > 0 and contents(self.workspace) == contents(self._reference.workspace)

    def strike(self, victim: str) -> tuple[str, int]:
        self.struck.append(victim)
        self._running = False
        return victim, 0


@pytest.mark.parametrize("spoil", [False, True])
def test_a_chain_ends_with_a_run_that_is_looked_at(tmp_path: Path, spoil: bool) -> None:
    artifact = made(tmp_path / "undisturbed")
    steps = [{"step": "teacher", "kind": "test.kind", "digest": artifact.name}]
    (tmp_path / "undisturbed" / "runs").mkdir()
    reference = Reference(tmp_path / "undisturbed", tmp_path / "home", {"steps": steps})
    driver = Pretended(reference, tmp_path / "workspace", spoil)
    turns = [kill_chain.Turn(kill_chain.START, "all", 0.0), kill_chain.Turn("teacher", "all", 0.5)]
    rows = kill_chain.run_chain(kill_chain.Chain(turns, whole=True), driver, reference)
    assert driver.struck == ["all", "all"]
    assert [row["target"] for row in rows] == ["start-up", "teacher"]
    assert all(row["completed"] and row["equal"] for row in rows)
    assert [row["well"] for row in rows] == [not spoil] * 2
    assert kill.summary(rows)[-1]["kills"] == 2
    assert "| all | 2 |" in markdown(kill.summary(rows))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_processes_are_found_by_family_and_by_home(tmp_path: Path) -> None:
    with running(["sh", "-c", "sleep 60 & wait"], {"HOME": str(tmp_path)}, tmp_path) as shell:
        until(lambda: len(family(shell.pid)) == 2)
        assert family(shell.pid) == living(tmp_path)
    until(lambda: not living(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_stage_is_told_from_the_server_that_forks_it(tmp_path: Path) -> None:
    forks = f"import os, time; os.fork(); time.sleep(60)  # {STAGE}_server"
    with running([sys.executable, "-c", forks], {}, tmp_path) as server:
        until(lambda: len(family(server.pid)) == 2)
        assert set(stages(family(server.pid))) == family(server.pid) - {server.pid}
    with running([sys.executable, "-c", "import time; time.sleep(60)", STAGE], {}, tmp_path) as own:
        until(lambda: stages(family(own.pid)) == [own.pid])
