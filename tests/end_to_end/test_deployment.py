"""Prefect's server, a process worker and the deployments of prefect.yaml, as docs/prefect.md has
it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from commands import REPOSITORY, environment, free_port, overrides, record, until
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def env(own_home: Path) -> dict[str, str]:
    """Loopback, a free port, a Prefect home of its own. The working folder is the repository."""
    port = str(free_port())
    api = f"http://127.0.0.1:{port}/api"
    return environment(own_home, PREFECT_SERVER_API_PORT=port, PREFECT_API_URL=api)


def page_block() -> str:
    """The commands that the page gives for a server, a worker and a deployment."""
    page = (REPOSITORY / "docs" / "prefect.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    [block] = [b for b in blocks if "prefect server start" in b]
    return str(block)


@contextlib.contextmanager
def shell(script: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell whose background jobs end with the test."""
    with log.open("w") as output:
        started = subprocess.Popen(
            ["bash", "-ec", script], env=env, cwd=REPOSITORY, stdout=output, stderr=output,
            text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


def test_deployments_run_as_the_page_writes_it(
    used_again: Path, env: dict[str, str], tmp_path: Path
) -> None:
    script = page_block().replace("4200", env["PREFECT_SERVER_API_PORT"]).rstrip()
    assert script.endswith("prefect deployment run 'augmentation-pipeline/quickstart' --watch")
    changes = [*overrides(), "evaluate.bootstrap=101"]  # so that one stage is really run
    script += parameters(changes, used_again)
    script += """ --job-variable 'env={"VESSELFORGE_TENSORBOARD": "1"}'"""
    log, server = tmp_path / "log.txt", tmp_path / "server.log"
    assert "> server.log" in script
    script = script.replace("server.log", str(server))
    with shell(script, env, log) as started:
        assert started.wait(500) == 0, server.read_text()[-3000:] + log.read_text()[-6000:]
        check_what_came_of_it(used_again, log)
        settings = {PREFECT_API_URL: env["PREFECT_API_URL"]}
        with temporary_settings(settings), get_client(sync_client=True) as client:
            check_that_bad_input_is_told(client, used_again)
            check_what_the_server_has(client)
        until(lambda: "did you mean `count`?" in log.read_text())  # written in the background


def check_what_came_of_it(workspace: Path, log: Path) -> None:
    told = record(workspace)
    assert told["status"] == "completed"
    assert [s["kind"] for s in told["steps"] if not s["reused"]] == ["segmenter.evaluate"]
    for state in ("started", "done in"):  # what a step says reaches the run's log
        assert re.search(rf"test scores +{state}", log.read_text())
    for kind in ("generator.train", "segmenter.train"):
        assert list(workspace.glob(f"tensorboard/{kind}/*/*tfevents*"))


def check_that_bad_input_is_told(client: SyncPrefectClient, workspace: Path) -> None:
    """By the name of the run's last state, and by its message; its log has no error."""
    deployment = client.read_deployment_by_name("augmentation-pipeline/quickstart")
    wrong = {"overrides": ["sample.cuont=3"], "workspace": str(workspace)}
    run = client.create_flow_run_from_deployment(deployment.id, parameters=wrong)
    until(lambda: client.read_flow_run(run.id).state.is_final(), 300, every=0.5)
    state = client.read_flow_run(run.id).state
    assert state.is_failed() and state.name == "BadInput"
    assert "did you mean `count`?" in state.message
    of = LogFilter.model_validate({"flow_run_id": {"any_": [run.id]}})
    until(lambda: any("in state BadInput" in one.message for one in client.read_logs(of)), 60)
    assert max(line.level for line in client.read_logs(of)) < logging.ERROR


def parameters(changes: list[str], workspace: Path) -> str:
    """The rest of the command line, for a shell."""
    given = [f"overrides={json.dumps(changes)}", f"workspace={workspace}"]
    return "".join(f" --param {shlex.quote(p)}" for p in given)


def check_what_the_server_has(client: SyncPrefectClient) -> None:
    """Artifacts by their keys, and runs that are due."""
    keys = {artifact.key for artifact in client.read_artifacts()}
    assert {"test-scores", "samples-grid", "pseudo-labels", "report"} <= keys
    due = FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}})
    runs = client.read_flow_runs(flow_run_filter=due)
    sundays = [run.expected_start_time.astimezone(UTC) for run in runs]
    assert len(sundays) >= 2  # the schedule of retrain/drive has made runs of its own
    assert {day.strftime("%a %H:%M") for day in sundays} == {"Sun 03:00"}
