"""Labels from folders, CSV and JSON; what is wrong with them is said with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.class_labels import Labels, read_labels

NAMES = ["a.png", "b.png", "sub/c.png"]


def labels(root: Path, source: str, text: str, names: list[str] | None = None) -> Labels:
    for name, kind in (("labels.csv", "csv"), ("dataset.json", "json")):
        (root / name).write_text(text) if kind == source else (root / name).unlink(missing_ok=True)
    return read_labels(root, NAMES if names is None else names)


def test_class_numbers_become_one_hot(tmp_path: Path) -> None:
    found = labels(tmp_path, "csv", "name,label\na.png,0\nb.png,2\nsub/c.png,1\n")
    assert found.problems == ()
    assert found.classes == ("0", "1", "2")
    assert found.vectors == {"a.png": (1, 0, 0), "b.png": (0, 0, 1), "sub/c.png": (0, 1, 0)}
    text = json.dumps({"labels": [["a.png", 0], ["b.png", 2], ["sub/c.png", 1]]})
    assert labels(tmp_path, "json", text).vectors == found.vectors


def test_values_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "﻿Name,age,left\r\n\r\nsub/c.png, 0.5 ,-1\r\na.png,1,0\r\nb.png,1e-3,0\r\n"
    found = labels(tmp_path, "csv", text)
    assert found.problems == found.classes == ()
    assert found.vectors == {"a.png": (1, 0), "b.png": (0.001, 0), "sub/c.png": (0.5, -1)}
    text = json.dumps(
        {"labels": [["a.png", [1, 0]], ["b.png", [0.001, 0]], ["sub/c.png", [0.5, -1]]]}
    )
    assert labels(tmp_path, "json", text).vectors == found.vectors


def test_one_value_that_is_no_class(tmp_path: Path) -> None:
    found = labels(tmp_path, "csv", "name,age\na.png,61\nb.png,7\nsub/c.png,33.5\n")
    assert found.vectors["b.png"] == (7.0,)


def test_folders_are_classes(tmp_path: Path) -> None:
    found = read_labels(tmp_path, ["cats/1.png", "dogs/old/1.png", "cats/2.png"])
    assert found.classes == ("cats", "dogs")
    assert found.vectors["dogs/old/1.png"] == (0, 1)
    for unlabelled in (NAMES, ["cats/1.png", "dogs/1.png", "2.png"], ["one/a.png", "one/b.png"]):
        assert read_labels(tmp_path, unlabelled) == Labels({})


def test_a_file_goes_before_folders(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert read_labels(tmp_path, ["x/a.png", "y/b.png"]) == Labels({})
    (tmp_path / "labels.csv").write_text("name,label\n")
    with pytest.raises(DataError, match=r"labels\.csv and dataset\.json, expected one"):
        read_labels(tmp_path, NAMES)


GOOD = "name,label\na.png,0\nb.png,1\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "found nothing, expected a header `name,label`"),
        ("file;label\na.png;0\n", 1, "found 'file;label', expected a header"),
        (GOOD + "sub/c.png,cat\n", 4, 'found label "cat", expected a class number'),
        (GOOD + "sub/c.png,-1\n", 4, "found label -1, expected a class number"),
        (GOOD + "sub/c.png,1.5\n", 4, 'found label "1.5", expected a class number'),
        (GOOD + "sub/c.png\n", 4, "found 1 cells, expected 2"),
        (GOOD + "sub/c.png,1,2\n", 4, "found 3 cells, expected 2"),
        (GOOD + "sub\\c.png,1\n", 4, "found no image 'sub\\\\c.png' in "),
        (GOOD + "\nb.png,1\nsub/c.png,0\n", 5, "'b.png' occurs again (first in line 3)"),
        (GOOD, None, "found no label of image 'sub/c.png'"),
        (GOOD + 'sub/c.png,"1\n', 4, "not readable as CSV"),
        (
            "name,x,y\na.png,1,2\nb.png,nan,1\nsub/c.png,1,1\n",
            3,
            "found label [NaN, 1.0], expected a class number",
        ),
        ("name,x,y\na.png,1,two\n", 2, 'found label [1.0, "two"], expected'),
        (f"name,label\na.png,{'9' * 5000}\n", 2, "expected a class number"),
    ],
)
def test_a_wrong_csv(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    check_problem(labels(tmp_path, "csv", text), tmp_path / "labels.csv", line, message)


START = '{"labels": [\n["a.png", 0],\n["b.png", 1],\n'


@pytest.mark.parametrize(
    ("text", "entry", "message"),
    [
        ("[" * 100_000, None, "not readable as JSON"),
        ('["a.png", 0]', None, "found no `labels`"),
        ('{"labels": {"a.png": 0}}', None, "`labels` is no list of entries"),
        ('{"labels": []}', None, "`labels` is no list of entries"),
        (START + '["sub/c.png", "cat"]\n]}', 3, 'found label "cat", expected a class number'),
        (START + '["sub/c.png", true]\n]}', 3, "found label true"),
        (START + '["sub/c.png", -1]\n]}', 3, "found label -1"),
        (START + '["sub/c.png", [1, NaN]]\n]}', 3, "found label [1, NaN]"),
        (START + '["sub/c.png", [1, 2]]\n]}', 3, "found 2 values, expected a class number as in"),
        (START + '["sub/c.png"]\n]}', 3, 'found ["sub/c.png"], expected ["name.png", label]'),
        (START + '["sub/c.png", 1' + "0" * 60 + "]\n]}", 3, "found label 10000"),
        (START + '["sub/c.png", 2024]\n]}', None, "number the classes 0, 1, 2"),
        (START + '["a.png", 0]\n]}', 3, "'a.png' occurs again (first in entry 1)"),
        (
            '{"info": {"labels": [1]},\n"labels": [["a.png", [1, 2]],\n["b.png", [1]]]}',
            2,
            "found 1 values, expected 2 values as in entry 1",
        ),
    ],
)
def test_a_wrong_json(tmp_path: Path, text: str, entry: int | None, message: str) -> None:
    found = labels(tmp_path, "json", text)
    check_problem(found, tmp_path / "dataset.json", entry, message, "entry")


@pytest.mark.parametrize(("text", "line"), [("", 1), (START + '["sub/c.png", 2],\n]}', 5)])
def test_no_json(tmp_path: Path, text: str, line: int) -> None:
    found = labels(tmp_path, "json", text)
    check_problem(found, tmp_path / "dataset.json", line, "not readable as JSON")


def check_problem(
    found: Labels, path: Path, number: int | None, message: str, what: str = "line"
) -> None:
    assert found.vectors == {}
    where = str(path) if number is None else f"{path}, {what} {number}"
    said = [str(problem) for problem in found.problems if problem.file == where]
    assert any(message in sentence for sentence in said), [str(p) for p in found.problems]
    assert all("\n" not in str(p) and p.severity == "error" for p in found.problems)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"name,label\na.png,\xff\n")
    found = read_labels(tmp_path, NAMES)
    assert "not UTF-8" in str(found.problems[0])


def test_a_class_without_images_is_a_warning(tmp_path: Path) -> None:
    found = labels(tmp_path, "csv", "name,label\na.png,1\nb.png,2\nsub/c.png,1\n")
    assert found.vectors["a.png"] == (0, 1, 0)
    assert [p.severity for p in found.problems] == ["warning"]
    assert "no image has class 0" in str(found.problems[0])


def test_images_without_a_label_are_counted(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(500)]
    found = labels(tmp_path, "csv", "name,label\n", names)
    check_problem(found, tmp_path / "labels.csv", None, "of image '0.png' and 499 others")
