"""Stages on a local Dask cluster: what stops, dies and is left of it. That the bytes are the same:
tests/end_to_end/test_compare.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from progress_heard import HELPERS

from vesselforge.configs.study import ExecutionSettings
from vesselforge.engine.progress import Interrupted
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.flows.runners import STOP_FILE, ByRunner, task_runner
from vesselforge.flows.tasks import worth_retrying
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.stages import STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]


class Cluster:
    """A fan-out on a started cluster, with stages that count."""

    def __init__(self, workspace: Path, execution: ExecutionSettings, runner: Any) -> None:
        self.workspace, self.execution, self.runner = workspace, execution, runner

    def count(self, steps: int, pause: float) -> Work:
        from fake_stages import FakeSettings

        return Work(f"to {steps}", "fake", FakeSettings(steps=steps, pause=pause))

    def executor(self) -> Executor:
        hand = ByRunner(self.workspace, self.workspace, self.execution, self.runner)
        return Executor(self.workspace, hand, strict=False, look_first=True)

    def stage(self, work: Work) -> int:
        """The process of a running stage, waited for."""
        found = f"store/fake/{work.digest}*/**/pid"
        until(lambda: any(p.read_text() for p in self.workspace.glob(found)))
        return int(next(self.workspace.glob(found)).read_text())


def until(true: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def on_cluster(
    prefect_api: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Call something with a cluster of two workers, inside a flow."""
    path = [str(HELPERS), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    for folder in path[:2]:
        monkeypatch.syspath_prepend(folder)
    import cluster_stages

    monkeypatch.setitem(STAGES, "fake", cluster_stages.fake_stage())
    options = {"retries": 2, "retry_delay_seconds": 1, "retry_condition_fn": worth_retrying}
    fake = task(task_run_name="{step}", cache_policy=NO_CACHE, persist_result=False, **options)
    found = fake(cluster_stages.run)
    monkeypatch.setattr("vesselforge.flows.runners.task_of", lambda kind: found)

    def call(body: Callable[[Cluster], None], **more: Any) -> None:
        execution = ExecutionSettings.model_validate({"runner": "dask", "workers": 2} | more)

        @flow(name="on-cluster", persist_result=False)
        def on() -> None:
            with task_runner(execution) as runner:
                body(Cluster(tmp_path, execution, runner))

        on()

    return call


def test_a_killed_worker_is_replaced_and_a_stop_reaches_all_workers(
    on_cluster: Callable[..., None], tmp_path: Path
) -> None:
    seen: list[int] = []

    def body(cluster: Cluster) -> None:
        work, executor = cluster.count(20, 0.1), cluster.executor()

        def murder() -> None:
            stage = cluster.stage(work)
            os.kill(parent(stage), signal.SIGKILL)
            until(lambda: not alive(stage), 10)  # it does not outlive its worker
            seen.append(stage)

        killer = threading.Thread(target=murder)
        killer.start()
        executor.run([work])
        killer.join()
        assert executor.failed == {} and executor.artifact(work) is not None

        works = [cluster.count(10_000, 0.1), cluster.count(10_001, 0.1)]
        with shown(Display()) as display:

            def stop() -> None:
                try:
                    seen.extend(cluster.stage(work) for work in works)
                    for stage in seen[1:]:  # Ctrl-C in a terminal reaches its workers, too
                        os.kill(parent(stage), signal.SIGINT)
                finally:  # where no stage came, the test fails and does not hang
                    display.stop_requested = True

            stopper = threading.Thread(target=stop)
            stopper.start()
            with pytest.raises(Interrupted, match="the same command goes on"):
                cluster.executor().run(works)
            stopper.join()
        assert not (tmp_path / STOP_FILE).exists()
        states = [s.read_text() for s in tmp_path.glob("store/fake/*.partial/**/state.json")]
        assert len(states) == 2  # each has saved how far it was

    on_cluster(body)

    assert len(seen) == 3 and not any(map(alive, seen))


ELSEWHERE = """
import time
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1"}
    cluster = LocalCluster(dashboard_address="127.0.0.1:0", **options)
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


def test_a_cluster_that_dies_ends_the_study_with_a_message(
    on_cluster: Callable[..., None], tmp_path: Path
) -> None:
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as elsewhere:
        assert elsewhere.stdout is not None
        address, pid = elsewhere.stdout.readline().strip(), elsewhere.pid

        def body(cluster: Cluster) -> None:
            work, executor = cluster.count(10_000, 0.1), cluster.executor()

            def murder() -> None:
                stage = cluster.stage(work)
                os.kill(pid, signal.SIGKILL)
                until(lambda: not alive(stage), 10)

            killer = threading.Thread(target=murder)
            killer.start()
            executor.run([work])
            killer.join()
            assert "the cluster did" in executor.why(work)

        on_cluster(body, address=address)
