"""Prefect's server, a process worker and the deployments of prefect.yaml, as the README has it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import REPOSITORY, environment, family, free_port, overrides, record, run, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def env(own_home: Path) -> dict[str, str]:
    """Loopback, a free port, a Prefect home of its own. The working folder is the repository."""
    port = str(free_port())
    api = f"http://127.0.0.1:{port}/api"
    return environment(own_home, PREFECT_SERVER_API_PORT=port, PREFECT_API_URL=api)


def start(command: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[str]:
    with log.open("w") as output:
        return subprocess.Popen(
            command, env=env, cwd=REPOSITORY, stdout=output, stderr=output, text=True,
            start_new_session=True,
        )  # fmt: skip


def readme_block() -> str:
    """The commands that the README gives for a server, a worker and a deployment."""
    blocks = re.findall(r"```bash\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    [block] = [b for b in blocks if "prefect server start" in b]
    return str(block)


@pytest.fixture
def stopped() -> Iterator[list[subprocess.Popen[str]]]:
    """Shells whose background jobs end with the test."""
    shells: list[subprocess.Popen[str]] = []
    yield shells
    for shell in shells:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


def test_deployments_run_as_the_readme_writes_it(
    used_again: Path,
    env: dict[str, str],
    stopped: list[subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    script = readme_block().replace("4200", env["PREFECT_SERVER_API_PORT"]).rstrip()
    assert script.endswith("prefect deployment run 'augmentation-pipeline/quickstart' --watch")
    changes = [*overrides(), "evaluate.bootstrap=101"]  # so that one stage is really run
    script += parameters(changes, used_again)
    script += """ --job-variable 'env={"VESSELFORGE_TENSORBOARD": "1"}'"""
    log, server = tmp_path / "log.txt", tmp_path / "server.log"
    assert "> server.log" in script
    script = script.replace("server.log", str(server))
    shell = start(["bash", "-ec", script], env, log)
    stopped.append(shell)
    assert shell.wait(500) == 0, server.read_text()[-3000:] + log.read_text()[-6000:]
    told = record(used_again)
    assert told["status"] == "completed"
    assert [s["kind"] for s in told["steps"] if not s["reused"]] == ["segmenter.evaluate"]
    for state in ("started", "done in"):  # what a step says reaches the run's log
        assert re.search(rf"test scores +{state}", log.read_text())
    for kind in ("generator.train", "segmenter.train"):
        assert list(used_again.glob(f"tensorboard/{kind}/*/*tfevents*"))

    again = "prefect deployment run 'augmentation-pipeline/quickstart' --watch"
    again += parameters(["sample.cuont=3"], used_again)
    said = run(["bash", "-c", again], env, REPOSITORY)
    assert said.returncode == 1
    assert "BadInput" in said.stdout, said.stderr
    assert "did you mean `count`?" in log.read_text()
    keys, sundays = what_the_server_has(env)
    assert {"test-scores", "samples-grid", "pseudo-labels", "report"} <= keys
    assert len(sundays) >= 2  # the schedule of retrain/drive has made runs of its own
    assert {day.strftime("%a %H:%M") for day in sundays} == {"Sun 03:00"}


def parameters(changes: list[str], workspace: Path) -> str:
    """The rest of the command line, for a shell."""
    given = [f"overrides={json.dumps(changes)}", f"workspace={workspace}"]
    return "".join(f" --param {shlex.quote(p)}" for p in given)


def what_the_server_has(env: dict[str, str]) -> tuple[set[str], list[datetime]]:
    """Keys of artifacts, and when runs are due. Asked by Prefect's own client: the server refuses
    what carries no CSRF token."""
    code = (
        "import json\n"
        "from prefect.client.orchestration import get_client\n"
        "from prefect.client.schemas.filters import FlowRunFilter\n"
        "due = FlowRunFilter.model_validate({'state': {'type': {'any_': ['SCHEDULED']}}})\n"
        "with get_client(sync_client=True) as client:\n"
        "    keys = [artifact.key for artifact in client.read_artifacts()]\n"
        "    runs = client.read_flow_runs(flow_run_filter=due)\n"
        "print(json.dumps([keys, [run.expected_start_time.isoformat() for run in runs]]))\n"
    )
    keys, due = json.loads(run([sys.executable, "-c", code], env, REPOSITORY).stdout)
    return set(keys), [datetime.fromisoformat(time).astimezone(UTC) for time in due]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_serve_is_one_command_and_leaves_nothing_behind(
    env: dict[str, str], tmp_path: Path
) -> None:
    """Even when it is killed. Ctrl-C and SIGTERM: test_endings.py."""
    port = env["PREFECT_SERVER_API_PORT"]
    log = tmp_path / "serve.txt"
    process = start(["vesselforge", "serve", "--port", port], env, log)
    try:
        until(lambda: "serving http://127.0.0.1:" in log.read_text(), every=0.2)
        relatives = family(process.pid)
        assert len(relatives) >= 3
        second = run(["vesselforge", "serve", "--port", str(free_port())], env, REPOSITORY)
        assert second.returncode == 2
        assert f"another `vesselforge serve` uses this folder, at http://127.0.0.1:{port}" in (
            second.stderr
        )
        process.kill()
        until(lambda: not any(family(pid) for pid in relatives), 60, every=0.1)
    finally:
        process.kill()
