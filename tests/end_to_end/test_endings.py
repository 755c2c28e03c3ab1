"""`vesselforge serve` and its runs: stopped, killed, without a server; nothing is lost or left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import httpx
import pytest
from commands import (
    REPOSITORY,
    Undisturbed,
    contents,
    environment,
    family,
    free_port,
    overrides,
    record,
    until,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.events.schemas.events import Event, RelatedResource, Resource
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Running

from benchmarks.reliability.overhead import direct
from vesselforge.configs.errors import UserError
from vesselforge.flows.serving.serve import serve as serve_here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]
ZOMBIES = "crash-zombie-runs"
LONG = ["finetune.steps=240", "finetune.validate_every=240", "student.checkpoint_every=240"]
"""One stage that can be caught at work; it saves no checkpoint by itself before its end."""


@dataclass
class Served:
    """A `vesselforge serve`, and how to ask its server."""

    process: subprocess.Popen[str]
    log: Path
    client: SyncPrefectClient

    def said(self) -> str:
        return self.log.read_text()

    def below(self, command: str) -> int | None:
        """The process below it, or of a run it started, whose command line has this in it."""
        for pid in family(self.process.pid):
            if command in _command(pid):
                return pid
        return None

    def start(self, workspace: Path) -> UUID:
        """A run of the quickstart with one long stage."""
        deployment = self.client.read_deployment_by_name("augmentation-pipeline/quickstart")
        parameters = {"overrides": overrides() + LONG, "workspace": str(workspace)}
        started = self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        return started.id

    def state(self, run: UUID) -> str:
        return str(self.client.read_flow_run(run).state_name)

    def until_state(self, run: UUID, *names: str) -> None:
        until(lambda: self.state(run) in names, 300, every=0.5)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.fixture
def serve(own_home: Path, tmp_path: Path) -> Callable[[], Any]:
    """Serves, each time with the same database, at the same place."""
    port = free_port()
    env = environment(own_home, VESSELFORGE_WORKSPACE=str(tmp_path / "workspace"))
    log = tmp_path / "serve.txt"

    @contextmanager
    def serving() -> Iterator[Served]:
        command = ["vesselforge", "serve", "--port", str(port)]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=env, cwd=REPOSITORY, stdout=output, stderr=output, text=True,
                start_new_session=True,
            )  # fmt: skip
        try:
            until(lambda: "serving http://127.0.0.1:" in log.read_text(), 300, every=0.2)
            settings = {PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}
            with temporary_settings(settings), get_client(sync_client=True) as client:
                yield Served(process, log, client)
        finally:
            process.kill()
            process.wait()

    return serving


def progress_of(workspace: Path) -> int:
    """Lines in the log of the stage that is at work; one for every ten steps."""
    logs = workspace.glob("store/segmenter.train/*.partial/log.jsonl")
    return sum(len(log.read_text().splitlines()) for log in logs)


def until_at_work(workspace: Path) -> None:
    before = progress_of(workspace)
    until(lambda: progress_of(workspace) > before + 1, 300, every=0.05)


def checkpoints(workspace: Path) -> set[str]:
    found = workspace.glob("store/segmenter.train/*.partial/checkpoint/step-*.safetensors")
    return {path.name for path in found}


def test_stopped_killed_and_without_a_server_it_ends_with_the_same_bytes(
    serve: Callable[[], Any], undisturbed: Undisturbed, own_home: Path, tmp_path: Path
) -> None:
    expected = Path(shutil.copytree(undisturbed.workspace, tmp_path / "expected"))
    direct(expected, overrides() + LONG)  # the stages alone, in this process
    workspace = Path(shutil.copytree(undisturbed.workspace, tmp_path / "workspace"))

    with serve() as served:
        check_that_no_second_one_serves(served, own_home)
        stopped = served.start(workspace)
        until_at_work(workspace)
        relatives = family(served.process.pid)
        assert len(relatives) >= 5  # with the run's process and its stage's
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(120) == 0, served.said()
        until(lambda: not any(family(pid) for pid in relatives), 20)
    assert len(checkpoints(workspace)) == 1  # at the step where it was
    told = record(workspace)
    assert told["status"] == "interrupted"
    assert "the same command goes on" in told["message"]

    with serve() as served:
        assert served.state(stopped) == "Cancelled"
        [automation] = served.client.read_automations_by_name(ZOMBIES)  # applied twice by now
        killed = served.start(workspace)
        until_at_work(workspace)
        relatives = family(served.process.pid)
        worker, flow, stage = map(
            served.below, ("worker start", "prefect.engine", "vesselforge.engine.processes.child")
        )
        assert worker and flow and stage
        for pid in (worker, flow):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not family(stage), 20)  # no orphan
        served.until_state(killed, "Crashed")
        assert "the worker was ended by SIGKILL" in served.said()

        last = served.start(workspace)
        until_at_work(workspace)
        server = served.below("serving.page")
        assert server
        os.kill(server, signal.SIGKILL)
        until(lambda: "the server was ended by SIGKILL" in served.said(), 60, every=0.2)
        until(lambda: served.below("serving.page") not in (None, server), 60, every=0.2)
        until(lambda: record(workspace)["status"] == "completed", 300, every=0.5)
        until(lambda: _final(served, last) == "Completed", 300, every=1)
        assert served.said().count("resumed at step") == 2
        check_that_silent_runs_crash_and_ended_ones_do_not(served, automation, last)
        assert "Running" not in tasks_of(served, killed).values()
        check_that_the_report_is_shown(served, workspace)
        check_that_plain_http_gets_in_with_a_token(served)
        relatives = family(served.process.pid)
        assert len(relatives) >= 3
        served.process.kill()  # Ctrl-C: above; other signals: tests/flows/test_serve.py
        until(lambda: not any(family(pid) for pid in relatives), 60, every=0.1)
    assert contents(workspace) == contents(expected)


def check_that_no_second_one_serves(served: Served, home: Path) -> None:
    with (
        patch.dict(os.environ),
        temporary_settings({PREFECT_HOME: home / "prefect"}),
        pytest.raises(UserError, match=r"another `vesselforge serve` uses this folder") as refused,
    ):
        serve_here(free_port())
    assert f"at {str(served.client.api_url).removesuffix('/api/')}" in str(refused.value)


def check_that_silent_runs_crash_and_ended_ones_do_not(
    served: Served, automation: Automation, ended: UUID
) -> None:
    """By a copy of the automation that has less patience."""
    hasty = AutomationCore.model_validate(automation.model_dump(exclude={"id"}))
    assert isinstance(hasty.trigger, EventTrigger)
    hasty.name, hasty.trigger.within = "hasty", timedelta(seconds=10)  # the least there is
    served.client.create_automation(hasty)
    flow = served.client.read_flow_run(ended).flow_id
    state = Running().model_dump(mode="json", include={"type", "name"})
    made = served.client.request("POST", "/flow_runs/", json={"flow_id": str(flow), "state": state})
    silent = UUID(made.json()["id"])
    role = {"prefect.resource.role": "flow", "prefect.resource.name": "augmentation-pipeline"}
    related = RelatedResource({"prefect.resource.id": f"prefect.flow.{flow}", **role})
    beats = [
        Event(
            event="prefect.flow-run.heartbeat",
            resource=Resource({"prefect.resource.id": f"prefect.flow-run.{run}"}),
            related=[related],
        ).model_dump(mode="json")
        for run in (ended, silent)  # the one that has ended: as if it came in late
    ]
    served.client.request("POST", "/events", json=beats).raise_for_status()
    served.until_state(silent, "Crashed")
    assert "start it again" in str(served.client.read_flow_run(silent).state)
    assert served.state(ended) == "Completed"


def tasks_of(served: Served, run: UUID) -> dict[str, str | None]:
    """Name → state of the run's tasks."""
    of = FlowRunFilter.model_validate({"id": {"any_": [run]}})
    return {t.name: t.state_name for t in served.client.read_task_runs(flow_run_filter=of)}


def check_that_the_report_is_shown(served: Served, workspace: Path) -> None:
    [found] = [a for a in served.client.read_artifacts() if a.key == "report"]
    [link] = re.findall(r"\((http://127.0.0.1:\d+/reports/quickstart)\)", str(found.data))
    page = workspace / "runs" / "quickstart" / "report.html"
    assert httpx.get(link).content == page.read_bytes()


def check_that_plain_http_gets_in_with_a_token(served: Served) -> None:
    """As the documentation writes it, but for a run in 2100; and not without."""
    text = (REPOSITORY / "docs" / "security.md").read_text()
    [script] = [b for b in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "csrf" in b]
    server = str(served.client.api_url).removesuffix("/api/")
    details = {"scheduled_time": "2100-01-01T00:00:00Z"}
    late = json.dumps({"state": {"type": "SCHEDULED", "state_details": details}})
    script = script.replace("http://127.0.0.1:4200", server).replace("'{}'", f"'{late}'")
    said = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)
    made = json.loads(said.stdout)
    assert made["state"]["type"] == "SCHEDULED"
    refused = httpx.post(
        f"{server}/api/deployments/{made['deployment_id']}/create_flow_run", json={}
    )
    assert refused.status_code == 403


def _final(served: Served, run: UUID) -> str:
    try:
        return served.state(run)
    except Exception:  # the server is on its way
        return ""
