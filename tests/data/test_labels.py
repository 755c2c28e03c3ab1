"""Labels from folders, CSV and JSON; what is wrong with them is said with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.class_labels import Labels, read_labels

NAMES = ["a.png", "b.png", "sub/c.png"]
NONE: Labels = ({}, ())


def labels(root: Path, source: str, text: str, names: list[str] | None = None) -> Labels:
    for name, kind in (("labels.csv", "csv"), ("dataset.json", "json")):
        (root / name).write_text(text) if kind == source else (root / name).unlink(missing_ok=True)
    return read_labels(root, NAMES if names is None else names)


def test_class_numbers_become_one_hot(tmp_path: Path) -> None:
    found = labels(tmp_path, "csv", "name,label\na.png,0\nb.png,2\nsub/c.png,1\n")
    vectors = {"a.png": (1, 0, 0), "b.png": (0, 0, 1), "sub/c.png": (0, 1, 0)}
    assert found == (vectors, ("0", "1", "2"))
    text = json.dumps({"labels": [["a.png", 0], ["b.png", 2], ["sub/c.png", 1]]})
    assert labels(tmp_path, "json", text) == found


def test_values_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "﻿Name,age,left\r\n\r\nsub/c.png, 0.5 ,-1\r\na.png,1,0\r\nb.png,1e-3,0\r\n"
    found = labels(tmp_path, "csv", text)
    assert found == ({"a.png": (1, 0), "b.png": (0.001, 0), "sub/c.png": (0.5, -1)}, ())
    text = json.dumps(
        {"labels": [["a.png", [1, 0]], ["b.png", [0.001, 0]], ["sub/c.png", [0.5, -1]]]}
    )
    assert labels(tmp_path, "json", text) == found


def test_one_value_that_is_no_class(tmp_path: Path) -> None:
    found = labels(tmp_path, "csv", "name,age\na.png,61\nb.png,7\nsub/c.png,33.5\n")
    assert found[0]["b.png"] == (7.0,)


def test_folders_are_classes(tmp_path: Path) -> None:
    vectors, classes = read_labels(tmp_path, ["cats/1.png", "dogs/old/1.png", "cats/2.png"])
    assert classes == ("cats", "dogs")
    assert vectors["dogs/old/1.png"] == (0, 1)
    for unlabelled in (NAMES, ["cats/1.png", "dogs/1.png", "2.png"], ["one/a.png", "one/b.png"]):
        assert read_labels(tmp_path, unlabelled) == NONE


def test_a_file_goes_before_folders(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert read_labels(tmp_path, ["x/a.png", "y/b.png"]) == NONE
    (tmp_path / "labels.csv").write_text("name,label\n")
    with pytest.raises(DataError, match=r"labels\.csv and dataset\.json, expected one"):
        read_labels(tmp_path, NAMES)


GOOD = "name,label\na.png,0\nb.png,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found the header '', expected a header `name,label`"),
        ("file;label\na.png;0\n", "found the header 'file,label', expected a header"),
        (GOOD + "sub/c.png,cat\n", 'line 4: found label "cat", expected a class number'),
        (GOOD + "sub/c.png,-1\n", 'line 4: found label "-1", expected a class number'),
        (GOOD + "sub/c.png,1.5\n", 'line 4: found label "1.5", expected a class number'),
        (GOOD + "sub/c.png\n", "line 4: found 1 cells, expected 2"),
        (GOOD + "sub/c.png,1,2\n", "line 4: found 3 cells, expected 2"),
        (GOOD + "sub\\c.png,1\n", "line 4: found no image 'sub\\\\c.png' in "),
        (GOOD + "\nb.png,1\nsub/c.png,0\n", "line 5: 'b.png' occurs again"),
        (GOOD, "found no label of image 'sub/c.png'"),
        (GOOD + 'sub/c.png,"1\n', "cannot be read as CSV in UTF-8"),
        (
            "name,x,y\na.png,1,2\nb.png,nan,1\nsub/c.png,1,1\n",
            'line 3: found label ["nan", "1"], expected a class number',
        ),
        ("name,x,y\na.png,1,two\n", 'line 2: found label ["1", "two"], expected'),
        (f"name,label\na.png,{'9' * 5000}\n", "line 2: found label"),
    ],
)
def test_a_wrong_csv(tmp_path: Path, text: str, message: str) -> None:
    check_fault(tmp_path, "csv", text, message)


START = '{"labels": [\n["a.png", 0],\n["b.png", 1],\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON: recursion limit"),
        (START + '["sub/c.png", 2],\n]}', "Invalid JSON: trailing comma at line 5"),
        ('["a.png", 0]', 'Input should be an object; expected {"labels": [["name.png", 0], …]}'),
        ('{"images": []}', "labels: Field required, found"),
        ('{"labels": {"a.png": 0}}', "labels: Input should be a valid array, found"),
        ('{"labels": []}', "labels: List should have at least 1 item"),
        (START + '["sub/c.png", "cat"]\n]}', 'entry 3: found label "cat", expected a class number'),
        (START + '["sub/c.png", -1]\n]}', "entry 3: found label -1"),
        (START + '["sub/c.png", {}]\n]}', "entry 3: found label {}"),
        (START + '["sub/c.png", [1, NaN]]\n]}', "entry 3: found label [1, NaN]"),
        (
            START + '["sub/c.png", [1, 2]]\n]}',
            "entry 3: found 2 values, expected a class number as",
        ),
        (START + '["sub/c.png"]\n]}', "labels.2.1: Field required, found"),
        (START + '["sub/c.png", 1' + "0" * 60 + "]\n]}", "entry 3: found label 10000"),
        (START + '["sub/c.png", 1' + "0" * 6000 + "]\n]}", "dataset.json: "),
        (START + '["sub/c.png", 2024]\n]}', "number the classes 0, 1, 2"),
        (START + '["a.png", 0]\n]}', "entry 3: 'a.png' occurs again"),
        (
            '{"info": {"labels": [1]},\n"labels": [["a.png", [1, 2]],\n["b.png", [1]]]}',
            "entry 2: found 1 values, expected 2 values as in the first entry",
        ),
    ],
)
def test_a_wrong_json(tmp_path: Path, text: str, message: str) -> None:
    check_fault(tmp_path, "json", text, message)


def check_fault(
    root: Path, source: str, text: str, message: str, names: list[str] | None = None
) -> None:
    with pytest.raises(DataError) as caught:
        labels(root, source, text, names)
    said = str(caught.value)
    assert message in said and "\n" not in said
    assert said.startswith(str(root / {"csv": "labels.csv", "json": "dataset.json"}[source]))


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"name,label\na.png,\xff\n")
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read as CSV in UTF-8"):
        read_labels(tmp_path, NAMES)


def test_a_class_may_have_no_image(tmp_path: Path) -> None:
    vectors, classes = labels(tmp_path, "csv", "name,label\na.png,1\nb.png,2\nsub/c.png,1\n")
    assert vectors["a.png"] == (0, 1, 0)
    assert classes == ("0", "1", "2")


def test_images_without_a_label_are_counted(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(500)]
    check_fault(tmp_path, "csv", "name,label\n", "of image '0.png' and 499 others", names)
