"""The command line: quick to answer, one line for what the user can mend, the right exit status."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from commands import refusal
from PIL import Image
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main

pytestmark = pytest.mark.slow

HEAVY = ("torch", "prefect", "matplotlib", "numpy", "scipy", "sklearn")


def vesselforge(
    *arguments: str, workspace: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own; its last line of stderr: heavy modules loaded."""
    code = (
        "import sys\nfrom vesselforge.cli.main import main\n"
        "try:\n    main(prog_name='vesselforge')\n"
        "finally:\n"
        f"    print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    )
    environment = dict(os.environ)
    if workspace is not None:
        environment["VESSELFORGE_WORKSPACE"] = str(workspace)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=120,
    )


def typed(*arguments: str, workspace: Path | None = None) -> Result:
    """The command in this process, where nothing but what it does and says matters."""
    where = {} if workspace is None else {"VESSELFORGE_WORKSPACE": str(workspace)}
    return CliRunner().invoke(main, arguments, env=where)


def test_help_and_bad_configs_answer_at_once_and_load_nothing_heavy(tmp_path: Path) -> None:
    for arguments, status in (
        (["--version"], 0),
        (["run", "--help"], 0),
        (["run", "no-such-config"], 2),
        (["run", "quickstart", "--set", "sample.cuont=3"], 2),
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = vesselforge(*arguments, workspace=tmp_path)
        assert done.returncode == status, done.stderr
        assert done.stderr.splitlines()[-1] == "", arguments
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sample.cuont=3", "sample.cuont: unknown key; did you mean `count`?"),
        ("sample.count=many", "sample.count: input should be a valid integer"),
        ("sample.count=-1", "sample.count: input should be greater than or equal to 1"),
        ("teacher.crop=33", "teacher.crop: input should be a multiple of 8 (found 33)"),
    ],
)
def test_a_wrong_setting_is_one_line(change: str, message: str, tmp_path: Path) -> None:
    done = typed("run", "quickstart", "--set", change, workspace=tmp_path)
    (error,) = done.stderr.splitlines()
    assert done.exit_code == 2
    assert error.startswith("error: ") and message in error
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_an_unwritable_workspace_and_a_missing_dataset_stop_before_prefect(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, message in (
        (["--workspace", str(tmp_path / "file" / "ws")], "cannot write to the workspace"),
        (["--set", "data.name=drive", "--set", f"data.root={tmp_path / 'no'}"], "no such dataset"),
    ):
        done = typed("run", "quickstart", *arguments, workspace=tmp_path / "ws")
        (error,) = done.stderr.splitlines()
        assert (done.exit_code, error.startswith("error: ")) == (2, True)
        assert message in error
    start = ["--set", f"generator.start_from={tmp_path / 'no.pkl'}"]  # looked for last
    real = vesselforge("run", "quickstart", *start, workspace=tmp_path / "ws")
    error, loaded = real.stderr.splitlines()
    assert real.returncode == 2 and error.startswith("error: ") and "no such file" in error
    assert not {"prefect", "torch"} & set(loaded.split())


def test_a_server_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = vesselforge("run", "quickstart", workspace=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: http://127.0.0.1:9/api: no Prefect server")


def test_no_such_run(tmp_path: Path) -> None:
    line = refusal(typed("report", "mine", workspace=tmp_path))
    assert line == f"error: mine: no such run, by name or as a folder; runs in {tmp_path}: none"


def test_phantoms_are_written_checked_and_prepared(tmp_path: Path) -> None:
    sizes = ["--set", "train=4", "--set", "validation=2", "--set", "test=2", "--set", "size=64"]
    folder = tmp_path / "mine"
    made = typed("data", "phantom", str(folder), *sizes, "--json")
    assert len(json.loads(made.stdout)["images"]) == 8
    checked = typed("data", "check", str(folder), "--json")
    assert checked.exit_code == 0, checked.stderr
    assert sum(split["images"] for split in json.loads(checked.stdout)["splits"]) == 8
    like = ["--like", str(folder), "--randomise", "0.5"]
    alike = typed("data", "phantom", str(tmp_path / "alike"), *sizes[:-2], *like)
    assert alike.exit_code == 0, alike.stderr
    with Image.open(tmp_path / "alike" / "images" / "test-0001.png") as image:
        assert image.size == (64, 64)  # as those it is like
    (folder / "masks" / "train-0000.png").unlink()
    checked = typed("data", "check", str(folder))
    assert checked.exit_code == 2
    assert "found no vessel mask for identifier 'train-0000'" in checked.stdout
    data = ["--set", "data.name=paired", "--set", f"data.root={folder}"]
    prepared = typed("data", "prepare", "quickstart", *data, workspace=tmp_path / "ws")
    assert prepared.exit_code == 2
    assert prepared.stderr.splitlines()[-1].startswith("error: ")
