"""`generator draw` and `walk` as they are typed: options, exit status, where a generator is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_generators import write_generator
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.engine.files import write_json


def command(*arguments: str | Path):
    return CliRunner().invoke(main, ["generator", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_generator(tmp_path_factory.mktemp("generator") / "g", c_dim=3)


def test_draw(trained, tmp_path):
    out = tmp_path / "out"
    options = ["--seeds", "0-2,9", "--psi", "0.5", "--class", "2", "--grid", "--json"]
    done = command("draw", trained, "-o", out, *options)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["images"] == 4 and found["seeds"] == "0-2,9"
    assert found["settings"] == {"psi": 0.5, "label": 2}
    assert len(list(out.glob("seed*.png"))) == 4 and (out / "grid.png").is_file()
    refused = command("draw", trained, "-o", out, "--class", "1")
    assert refused.exit_code == 2
    assert "with another settings" in refused.stderr and "another folder" in refused.stderr


def test_a_generator_by_the_name_of_its_run(trained, tmp_path):
    workspace = tmp_path / "ws"
    home = workspace / "store" / "generator.train"
    home.mkdir(parents=True)
    (home / "abc").symlink_to(trained)
    steps = [{"step": "generator", "kind": "generator.train", "digest": "abc"}]
    record = {"name": "mine", "status": "completed", "config": {}, "steps": steps}
    record |= {"artifacts": {}}
    (workspace / "runs" / "mine").mkdir(parents=True)
    write_json(workspace / "runs" / "mine" / "run.json", record)
    for given in ("mine", workspace / "runs" / "mine"):
        options = ["--seeds", "4,5", "--frames", "2", "--class", "0", "--workspace", workspace]
        done = command("walk", given, "-o", tmp_path / "w.gif", *options)
        assert done.exit_code == 0, done.output
        assert "2 frames of 16 x 16: " in done.stdout
    write_json(workspace / "runs" / "mine" / "run.json", record | {"steps": []})
    done = command("draw", "mine", "-o", tmp_path / "x", "--workspace", workspace)
    assert done.exit_code == 2 and "this run (completed) has no generator so far;" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "none", "-o", "x"], "none: no such generator, by name or as a folder; with Ves"),
        (["draw", "none", "-o", "x"], "/ws: none"),
        (["draw", "no/where", "-o", "x"], "no/where: no such generator"),
        (["draw", "none", "-o", "x", "--class", "nan"], "invalid value for '--class'"),
        (["draw", "sa-unet-drive", "-o", "x"], "sa-unet-drive: a segmenter, and a generator is"),
        (["draw", "phantom-joint-64", "-o", "x", "--class", "5"], "error: --class: found 5, but"),
        (["draw", "network.pkl", "-o", "x"], "`vesselforge generator import` makes one"),
        (["draw", "empty", "-o", "x"], "empty: no generator here; expected a folder with gen"),
        (["draw", "none", "-o", "x", "--seeds", "3-1"], "error: --seeds: found '3-1': the range"),
        (
            ["draw", "none", "-o", "x", "--psi", "9"],
            ": --psi: input should be less than or equal to 2",
        ),
    ],
)
def test_what_is_typed_wrong_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.pkl").touch()
    (tmp_path / "empty").mkdir()
    done = command(*arguments, "--workspace", tmp_path / "ws")
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()
