"""`generator import` and `export` as they are typed: an official file to pictures and back out."""

from __future__ import annotations

from pathlib import Path

import pytest
from official_format import Call, write_snapshot
from official_networks import make_snapshot
from small_generators import write_generator
from typer.testing import CliRunner

from vesselforge.cli.main import main


def command(*arguments: str | Path):
    return CliRunner().invoke(main, ["generator", *map(str, arguments)])


@pytest.fixture(scope="module")
def pkl(tmp_path_factory):
    return write_snapshot(tmp_path_factory.mktemp("official"), make_snapshot())


def test_from_an_official_file_to_pictures(pkl, tmp_path):
    done = command("import", pkl, "-o", tmp_path / "g")
    assert done.exit_code == 0, done.output
    assert "16 x 16, 3 channels, labels of length 3" in done.stdout
    assert "discriminator.safetensors" in done.stdout
    assert "non-commercial research or evaluation only" in done.stdout
    drawn = command("draw", tmp_path / "g", "-o", tmp_path / "d", "--seeds", "1", "--class", "2")
    assert drawn.exit_code == 0, drawn.output
    assert len(list((tmp_path / "d").glob("seed*.png"))) == 1


def test_an_import_overwrites_nothing_unasked(pkl, tmp_path):
    assert command("import", pkl, "-o", tmp_path / "g", "--json").exit_code == 0
    again = command("import", pkl, "-o", tmp_path / "g")
    assert again.exit_code == 2 and "give --force" in again.stderr
    assert command("import", pkl, "-o", tmp_path / "g", "--force").exit_code == 0


def test_a_hostile_file_is_refused_by_name_and_leaves_nothing(tmp_path):
    path = write_snapshot(tmp_path, {"G_ema": Call(exec, "print('it ran')")})
    done = command("import", path, "-o", tmp_path / "g")
    assert done.exit_code == 2
    assert "'builtins.exec'" in done.stderr and "it ran" not in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["-o", "g.bin"], "g.bin: found the ending .bin, expected .onnx"),
        (["-o", "g"], "found the ending none, expected .onnx"),
    ],
)
def test_an_export_that_cannot_be(options, fault, tmp_path):
    done = command("export", write_generator(tmp_path / "g"), *options)
    assert done.exit_code == 2 and fault in done.stderr
