"""`vesselforge run` from nothing, again, and after every kind of murder."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from commands import (
    Undisturbed,
    contents,
    environment,
    family,
    manifests,
    record,
    run,
    running,
    tiny,
    until,
)
from progress_heard import read_events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vesselforge.engine.log import read_log
from vesselforge.engine.sinks.board import board_folder
from vesselforge.engine.sinks.stagelog import log_file

pytestmark = pytest.mark.slow


def test_a_run_ends_with_table_report_and_record(undisturbed: Undisturbed) -> None:
    shown = undisturbed.said.stdout
    for name in ("teacher", "student", "ensemble", "F1", "AUC", "report.html"):
        assert name in shown
    page = undisturbed.workspace / "runs" / "quickstart" / "report.html"
    assert shown.splitlines()[-1] == f"report: {page}"
    assert "</html>" in page.read_text()
    told = record(undisturbed.workspace)
    assert told["status"] == "completed"
    assert not any(step["reused"] for step in told["steps"])
    assert (page.parent / "config.yaml").is_file()
    assert "Traceback" not in undisturbed.said.stderr
    theirs = undisturbed.home / ".prefect"  # another project's Prefect, which it has left alone
    assert {path.name for path in theirs.iterdir()} == {"profiles.toml", "prefect.db"}
    assert (theirs / "prefect.db").read_text() == "a database of another version"


def test_a_second_run_at_a_configured_server_reuses_everything_and_loads_no_torch(
    used_again: Path, home: Path, server: str, tmp_path: Path
) -> None:
    before = contents(used_again)
    page = used_again / "runs" / "quickstart" / "report.html"
    written = page.stat().st_mtime_ns
    code = (
        "import sys\nfrom vesselforge.cli.main import main\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = [m for m in ('torch', 'matplotlib') if m in sys.modules]\n"
        "    print('loaded:', *heavy, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, *tiny("run", used_again, "--json")[1:]]
    said = run(command, environment(home, PREFECT_API_URL=server), tmp_path)
    assert said.returncode == 0, said.stderr
    assert f"(Prefect at {server.removesuffix('/api')})" in said.stderr
    assert json.loads(said.stdout)["metrics"]["models"].keys() == {"teacher", "student", "ensemble"}
    told = record(used_again)
    assert all(step["reused"] for step in told["steps"])
    assert sum(step["seconds"] for step in told["steps"]) < 5
    assert contents(used_again) == before
    assert page.stat().st_mtime_ns == written
    assert said.stderr.splitlines()[-1] == "loaded:"


MURDERS = (
    ("segmenter.train/*.partial/checkpoint/step-*2.safetensors", "teacher"),
    ("generator.train/*.partial/checkpoint/step-*4.safetensors", "generator"),
    ("generator.sample/*.partial/images/seed*5.png", "samples"),
)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.timeout(600)
def test_killed_runs_go_on_and_end_with_the_same_bytes(
    undisturbed: Undisturbed, home: Path, server: str, tmp_path: Path
) -> None:
    """The first brings a server along, which must not outlive it either."""
    workspace, board = tmp_path / "workspace", {"VESSELFORGE_TENSORBOARD": "1"}
    env = environment(home, PREFECT_API_URL=server, **board)
    finished: dict[str, int] = {}
    for trace, step in MURDERS:
        its_own = env if finished else environment(home, **board)
        with running(tiny("run", workspace), its_own, tmp_path) as victim:
            until(lambda t=trace: list((workspace / "store").glob(t)), 200, every=0.002)
            relatives = family(victim.pid)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            until(lambda r=relatives: not any(family(pid) for pid in r), 20)
        told = record(workspace)
        assert told["status"] == "running"  # it had no time to say otherwise
        assert step not in [s["step"] for s in told["steps"]]
        assert all(s["reused"] for s in told["steps"] if f"{s['kind']}/{s['digest']}" in finished)
        finished = made_at(workspace)
    said = run(tiny("run", workspace), env, tmp_path)
    assert said.returncode == 0, said.stderr
    assert contents(workspace) == contents(undisturbed.workspace)
    now = made_at(workspace)
    assert {name: now[name] for name in finished} == finished  # nothing was done twice
    assert "resumed" in said.stderr + (tmp_path / "output.txt").read_text()
    check_watching(workspace)


def check_watching(workspace: Path) -> None:
    """Every attempt is in the stages' logs; TensorBoard shows each training once and whole."""
    attempts = {}
    for name in manifests(workspace):
        events = [e["event"] for e in read_events(log_file(workspace, *name.split("/")))]
        assert events.count("done") == 1 and events[-1] == "done", name
        attempts[name.split("/")[0]] = events.count("started")
    assert attempts["generator.train"] > 1 and attempts["data.prepare"] == 1
    for name in ("segmenter.train", "generator.train"):
        for manifest in (workspace / "store" / name).glob("*/manifest.json"):
            made = manifest.parent
            curves = EventAccumulator(str(board_folder(workspace, name, made.name))).Reload()
            for tag in ("loss", "validation/f1") if "segmenter" in name else ("loss_g", "p"):
                logged = [e for e in read_log(made) if tag.split("/")[0] in e]
                assert [e.step for e in curves.Scalars(tag)] == [e["step"] for e in logged]
                if "/" not in tag:
                    values = [e.value for e in curves.Scalars(tag)]
                    assert values == [pytest.approx(e[tag], rel=1e-6) for e in logged]
            shown = {e.step for tag in curves.Tags()["images"] for e in curves.Images(tag)}
            assert shown == {int(p.stem[5:]) for p in made.glob("grid-*.png")}


def made_at(workspace: Path) -> dict[str, int]:
    """kind/digest of every finished artifact → when its folder was last written to."""
    found = (workspace / "store").glob("*/*/manifest.json")
    whole = [p for p in found if p.parent.suffix != ".partial"]  # its rename may be a moment away
    return {f"{p.parts[-3]}/{p.parts[-2]}": p.stat().st_mtime_ns for p in whole}
