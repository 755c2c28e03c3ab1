"""`vesselforge compare` as its users start, stop, kill and misuse it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import contents, environment, family, manifests, refusal, run, running, until
from typer.testing import Result

from vesselforge.configs.load import load
from vesselforge.configs.study import StudyConfig
from vesselforge.flows.compare import compare_ratios
from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Typed = Callable[[list[str]], Result]
FIT = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"phantom": {"train": 3, "validation": 2, "test": 2, "size": 64}},
    "arms": {"counts": [0, 2], "orders": ["mixed"], "seeds": [0]},
    "teacher": {"steps": 60, "batch": 2, "crop": 32, "validate_every": 60, "checkpoint_every": 5},
    "generator": {
        "presentation": "patch",
        "resolution": 32,
        "channel_base": 64,
        "latent": 8,
        "batch": 8,
        "kimg": 0.016,
        "snapshot_kimg": 0.016,
    },
    "synthetic": {"pool": 3},
    "score": {"real_views": 4, "kid_subset_size": 2},
    "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    "student": FIT,
    "evaluate": {"bootstrap": 100},
    "statistics": {"bootstrap": 300},
    "execution": {"workers": 2},
}
"""A study as small as it gets; the teacher takes long enough to be caught at work."""


ON_THE_CLUSTER = {"data.prepare", "generator.train", "segmenter.train", "segmenter.evaluate"}
"""From files outside the store, with checkpoints, with several inputs, with metrics. Stages of a
cluster are processes of their own, 5 s of the processor each."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The same bytes need the same number, however the cores are shared."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield


def compare(config: Path, workspace: Path, *more: str) -> list[str]:
    command = ["vesselforge", "compare", str(config)]
    return [*command, "--workspace", str(workspace), *more]


@pytest.fixture(scope="module")
def whole_study(
    config: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A whole study from an empty workspace and an empty HOME, and what it said."""
    folder = tmp_path_factory.mktemp("study")
    said = run(compare(config, folder / "workspace"), environment(home), folder)
    assert said.returncode == 0, said.stderr
    return folder / "workspace", said


def results_of(workspace: Path) -> dict[str, str]:
    folder = workspace / "runs" / "tiny"
    return {name: (folder / name).read_text() for name in (RESULTS, PER_IMAGE)}


def record_of(workspace: Path) -> dict[str, Any]:
    return dict(json.loads((workspace / "runs" / "tiny" / "run.json").read_text()))


def test_a_study_ends_with_table_headline_page_and_record(
    whole_study: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    workspace, said = whole_study
    page = workspace / "runs" / "tiny" / "report.html"
    *_, headline, last = said.stdout.splitlines()

    assert last == f"report: {page}"
    assert "not tested" in headline and "one seed cannot tell" in headline
    for shown in ("real only", "real + 2 stylegan2, mixed", "Arms on phantom"):
        assert shown in said.stdout
    assert headline in page.read_text() and "</html>" in page.read_text()
    assert "Traceback" not in said.stderr and "failed" not in said.stdout + said.stderr
    record = record_of(workspace)
    assert record["status"] == "completed" and not any(s["reused"] for s in record["steps"])
    assert [line["status"] for line in record["arms"]] == ["completed"] * 2


def test_again_is_reused_and_told_as_json_and_the_page_can_be_written_anew(
    whole_study: tuple[Path, Any],
    config: Path,
    home: Path,
    server: str,
    typed: Typed,
    tmp_path: Path,
) -> None:
    workspace = Path(shutil.copytree(whole_study[0], tmp_path / "workspace"))
    made, before = contents(workspace), made_at(workspace)
    page = workspace / "runs" / "tiny" / "report.html"

    env = environment(home, PREFECT_API_URL=server)
    said = run(compare(config, workspace, "--json"), env, tmp_path)

    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    assert told["results"] == json.loads((workspace / "runs" / "tiny" / RESULTS).read_text())
    assert told["report"] == str(page) and told["failed"] == []
    assert contents(workspace) == made and made_at(workspace) == before
    assert f"{len(made)} stages were there already" in said.stderr
    page.unlink()

    again = typed(["vesselforge", "report", "tiny", "--workspace", str(workspace)])

    assert again.exit_code == 0, again.stderr
    assert told["headline"] in page.read_text()


def test_a_dry_run_lists_what_would_be_done_and_does_none_of_it(
    whole_study: tuple[Path, Any], config: Path, typed: Typed, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"

    said = typed(compare(config, workspace, "--dry-run", "--json"))

    assert said.exit_code == 0, said.stderr
    told = json.loads(said.stdout)
    rows = {row["stage"]: row for row in told["stages"]}
    # The teacher, and each of two arms in one phase; how long is not known of an empty store.
    expected = {"stage": "segmenter.train", "in all": 3, "to do": 3, "minutes, about": None}
    assert rows["segmenter.train"] == expected and told["minutes"] is None
    assert sum(row["in all"] for row in rows.values()) == len(manifests(whole_study[0]))
    assert not manifests(workspace) and not (workspace / "runs").exists()

    said = typed(compare(config, whole_study[0], "--dry-run", "--set", "arms.seeds=[0,1]"))

    assert said.exit_code == 0, said.stderr
    table = {line.split()[0]: line.split()[1:] for line in said.stdout.splitlines() if line.strip()}
    assert table["segmenter.train"][:2] == ["5", "2"] and float(table["segmenter.train"][2]) >= 0
    assert table["generator.train"] == ["1", "0", "0"]
    assert "minutes one after the other" in said.stdout.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_stopped_and_killed_it_goes_on_and_ends_with_the_same_bytes(
    whole_study: tuple[Path, Any], config: Path, home: Path, server: str, tmp_path: Path
) -> None:
    workspace, env = tmp_path / "workspace", environment(home, PREFECT_API_URL=server)
    store = workspace / "store"

    with running(compare(config, workspace), environment(home), tmp_path) as process:
        until(lambda: list(store.glob("segmenter.train/*.partial/checkpoint/step-*")), 240, 0.02)
        relatives = family(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130
        until(lambda: not any(family(pid) for pid in relatives), 20)
    output = tmp_path / "output.txt"
    assert "the same command goes on" in output.read_text().splitlines()[-1]
    assert "Traceback" not in output.read_text()
    assert record_of(workspace)["status"] == "interrupted"
    finished = made_at(workspace)

    with running(compare(config, workspace), env, tmp_path) as victim:
        until(lambda: list(store.glob("segmenter.pseudo-label/*/manifest.json")), 240)
        until(lambda: list(store.glob("segmenter.train/*.partial")), 240, 0.02)
        relatives = family(victim.pid)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        until(lambda: not any(family(pid) for pid in relatives), 20)
    assert record_of(workspace)["status"] == "running"  # it had no time to say otherwise
    now = made_at(workspace)
    assert {name: now[name] for name in finished} == finished and len(now) > len(finished)

    said = run(compare(config, workspace), env, tmp_path)

    assert said.returncode == 0, said.stderr
    last = made_at(workspace)
    assert {name: last[name] for name in now} == now  # nothing was done twice
    assert contents(workspace) == contents(whole_study[0])
    assert results_of(workspace) == results_of(whole_study[0])
    assert "resumed" in output.read_text() + said.stderr


def test_a_cluster_makes_the_same_bytes_as_processes(
    whole_study: tuple[Path, Any], config: Path, server: str, tmp_path: Path
) -> None:
    cluster = Path(shutil.copytree(whole_study[0], tmp_path / "cluster"))
    gone = made_on_the_cluster(cluster)
    assert {folder.parent.name for folder in gone} == ON_THE_CLUSTER
    for folder in gone:
        shutil.rmtree(folder)

    made: Any = compare_ratios(
        load(StudyConfig, config, ["execution.runner=dask"]), workspace=str(cluster)
    )

    assert made["failed"] == []
    assert contents(cluster) == contents(whole_study[0])
    assert results_of(cluster) == results_of(whole_study[0])


def made_on_the_cluster(workspace: Path) -> list[Path]:
    """Artifacts of ON_THE_CLUSTER: the test images, the generator, the student and its scores."""
    found = {
        path.parent: json.loads(path.read_text())
        for path in (workspace / "store").glob("*/*/manifest.json")
        if path.parts[-3] in ON_THE_CLUSTER
    }
    students = {m["digest"] for m in found.values() if "synthetic" in m["inputs"]}

    def wanted(manifest: dict[str, Any]) -> bool:
        if manifest["kind"] == "data.prepare":
            return bool(manifest["settings"]["part"] != "development")
        if manifest["kind"] == "segmenter.train":
            return manifest["digest"] in students
        of_student = bool(students & set(manifest["inputs"].values()))
        return manifest["kind"] != "segmenter.evaluate" or of_student

    return [folder for folder, manifest in found.items() if wanted(manifest)]


def made_at(workspace: Path) -> dict[str, int]:
    """kind/digest of every finished artifact → when its manifest was written."""
    found = (workspace / "store").glob("*/*/manifest.json")
    whole = [p for p in found if p.parent.suffix != ".partial"]  # its rename may be a moment away
    return {"/".join(p.parts[-3:-1]): p.stat().st_mtime_ns for p in whole}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("arms.countz=[2]", "arms.countz: unknown key; did you mean `counts`?"),
        ("arms.counts=[some]", "arms.counts.0: input should be a valid integer"),
        ("arms.seeds=[1,1]", "seeds: found a value twice in [1, 1]"),
        ("arms.real_images=[2,7]", "arms.real_images: found 7, but the dataset has 3 training"),
        ("data={name: drive, root: nowhere}", "nowhere"),
        ("execution.address=tcp://x", "set runner: dask"),
    ],
)
def test_wrong_settings_are_one_line_and_nothing_is_done(
    change: str, message: str, config: Path, typed: Typed, tmp_path: Path
) -> None:
    said = typed(compare(config, tmp_path / "workspace", "--set", change))

    assert message in refusal(said) and len(said.stderr.splitlines()) == 1
    assert not manifests(tmp_path / "workspace")
