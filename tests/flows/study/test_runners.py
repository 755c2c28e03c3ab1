"""How many stages run at once, on which card; and what ends a wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from prefect import flow
from prefect.states import Completed, Running
from rich.console import Console

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.settings import PrepareSettings, SubsetSettings
from vesselforge.configs.study import ExecutionSettings
from vesselforge.engine.artifacts import MANIFEST, Artifact, Outcome
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted
from vesselforge.engine.sinks.display import Display, current, shown
from vesselforge.flows import runners
from vesselforge.flows.runners import (
    STOP_FILE,
    ByRunner,
    ended,
    environment_of,
    task_runner,
    workers_of,
)
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work

pytestmark = pytest.mark.slow

IMAGES = PrepareSettings.model_validate({"data": {}, "part": "development"})


def piece(number: int, *needed: Work) -> Work:
    """Some work; each number is another."""
    inputs = {f"images-{n}": work for n, work in enumerate(needed)}
    return Work(f"piece {number}", "data.subset", SubsetSettings(count=number), inputs)


class Watched:
    """Pretended stages: who ran at the same time, and with what in its environment.

    seconds: each takes. fail: steps that raise these.
    """

    def __init__(self) -> None:
        self.seconds = 0.3
        self.fail: dict[str, Exception] = {}
        self.environments: list[dict[str, str]] = []
        self.active: list[dict[str, str]] = []
        self.most = 0
        self.clashes = 0
        self._lock = threading.Lock()

    def produce(
        self,
        workspace: Path,
        work: Work,
        progress: Any,
        environment: dict[str, str],
    ) -> Outcome:
        card = environment.get("CUDA_VISIBLE_DEVICES")
        with self._lock:
            taken = [e.get("CUDA_VISIBLE_DEVICES") for e in self.active]
            self.clashes += card is not None and card in taken
            self.active.append(environment)
            self.environments.append(environment)
            self.most = max(self.most, len(self.active))
        try:
            self._work(progress)
        finally:
            with self._lock:
                self.active.remove(environment)
        if error := self.fail.get(work.step):
            raise error
        folder = workspace / "store" / work.kind / work.digest
        folder.mkdir(parents=True)
        content: dict[str, Any] = {"kind": work.kind, "digest": folder.name}
        content |= {key: {} for key in ("settings", "inputs", "files", "metrics")}
        write_json(folder / MANIFEST, content)
        return Outcome(Artifact(folder, content), False, 0.1)

    def _work(self, progress: Any) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            if progress.stop_requested:
                raise Interrupted("saved; the same command goes on")
            time.sleep(0.02)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched()
    monkeypatch.setattr("vesselforge.pipeline.executor.produce", made.produce)
    return made


Run = Callable[..., Executor]


@pytest.fixture
def run(tmp_path: Path, prefect_api: None) -> Run:
    """Do work with these settings, inside a flow; the fan-out, to see what came of it."""

    def go(works: list[Work], timeout: float | None = None, **settings: Any) -> Executor:
        execution = ExecutionSettings.model_validate(settings)

        @flow(name="fan-out", persist_result=False)
        def body() -> None:
            with task_runner(execution) as runner:
                hand = ByRunner(tmp_path, tmp_path, execution, runner, timeout)
                executor = Executor(tmp_path, hand, strict=False, look_first=True)
                found.append(executor)
                executor.run(works)

        found: list[Executor] = []
        body()
        return found[0]

    return go


def test_as_many_stages_at_once_as_there_are_workers(run: Run, watched: Watched) -> None:
    works = [piece(n) for n in range(1, 6)]

    executor = run(works, workers=2)

    assert watched.most == 2
    assert set(executor.done) == {work.digest for work in works} and not executor.failed


def test_each_stage_has_a_card_of_its_own_and_all_cards_are_used(
    run: Run, watched: Watched
) -> None:
    run([piece(n) for n in range(1, 7)], gpus=[3, 5])

    assert watched.most == 2 and watched.clashes == 0
    assert {e["CUDA_VISIBLE_DEVICES"] for e in watched.environments} == {"3", "5"}


def test_what_fails_takes_along_what_needs_it_and_nothing_else(run: Run, watched: Watched) -> None:
    watched.seconds = 0
    watched.fail = {"piece 1": DataError("eye.png: is empty")}
    first, other = piece(1), piece(2)
    needs_both = piece(3, first, other)

    executor = run([needs_both], workers=2)

    assert executor.artifact(other) is not None and executor.artifact(needs_both) is None
    assert executor.why(first) == "piece 1: eye.png: is empty" == executor.why(needs_both)


def test_workers_are_as_set_else_one_a_card_else_one_for_two_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(9)), raising=False)

    assert workers_of(ExecutionSettings(workers=3)) == 3
    assert workers_of(ExecutionSettings(gpus=[0, 1, 4])) == 3
    assert workers_of(ExecutionSettings()) == 4
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert workers_of(ExecutionSettings()) == 1


def test_cores_are_shared_unless_the_user_has_shared_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = ExecutionSettings(workers=3)

    assert environment_of(settings, None) == {"OMP_NUM_THREADS": "5"}
    card = {"OMP_NUM_THREADS": "5", "CUDA_VISIBLE_DEVICES": "0"}
    assert environment_of(settings, 0) == card
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert environment_of(settings, None) == {}


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prefect_dask", None)
    settings = ExecutionSettings(runner="dask")

    with (
        pytest.raises(ConfigError, match=r"pip install 'vesselforge\[dask\]'") as error,
        task_runner(settings),
    ):
        pass

    assert "execution.runner: dask needs the package prefect_dask" in str(error.value)


def test_a_stop_waits_until_every_stage_has_saved(
    run: Run, watched: Watched, tmp_path: Path
) -> None:
    watched.seconds = 60

    with shown(Display()) as display, pytest.raises(Interrupted, match="the same command goes on"):
        stopper = threading.Thread(target=stop_when, args=(display, lambda: watched.most == 2))
        stopper.start()
        run([piece(n) for n in range(1, 4)], workers=2)

    assert len(watched.environments) == 2 and watched.active == []
    assert not (tmp_path / STOP_FILE).exists()
    assert current() is not display


def test_a_stage_that_takes_too_long_saves_and_has_failed_and_is_not_tried_again(
    run: Run, watched: Watched
) -> None:
    watched.seconds = 60

    executor = run([piece(1), piece(2)], workers=2, timeout=0.3)

    assert len(watched.environments) == 2 and watched.active == []
    assert not executor.done
    assert executor.why(piece(2)) == (
        "piece 2: piece 2 was stopped after 0.3 s, its limit (stage_timeout)"
    )


def stop_when(display: Display, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.02)
    display.stop_requested = True


class Future:
    """Of a task: its wait sees an end only once that has come. states: what the server says."""

    def __init__(self, over: bool, brings: Any, says: Any) -> None:
        self.wrapped_future, self._over, self._brings = self, over, brings
        self.state, self.waits = says, 0

    def done(self) -> bool:
        return self._over

    def wait(self, timeout: float | None = None) -> None:
        self.waits += 1
        if self._brings is not None:
            self.state = self._brings


def test_a_task_that_is_over_brings_its_own_state_though_the_server_lags() -> None:
    running: Any = Future(False, None, Running())
    assert ended(running) is None and running.waits == 0

    done: Any = Future(True, Completed(), Running())
    state = ended(done)
    assert state is not None and state.is_completed()


def test_a_task_without_a_state_of_its_own_was_on_a_worker_that_died() -> None:
    lost: Any = Future(True, None, Running())
    state = ended(lost)
    assert state is not None and state.is_crashed() and state.message == runners.DIED


def test_a_stop_does_not_wait_for_ever_for_a_cluster_without_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent:
        def submit(self, *_: Any) -> Any:
            return Future(False, None, Running())

    monkeypatch.setattr("vesselforge.flows.runners.STOP_S", 0.3)
    execution, runner = ExecutionSettings(workers=1), Silent()
    hand = ByRunner(tmp_path, tmp_path, execution, cast(Any, runner))
    executor = Executor(tmp_path, hand, strict=False, look_first=True)

    with shown(Display(Console(stderr=True))) as display, pytest.raises(Interrupted):
        display.stop_requested = True
        executor.run([piece(1)])

    assert "1 of the stages have not answered" in capsys.readouterr().err
    assert not (tmp_path / STOP_FILE).exists()
