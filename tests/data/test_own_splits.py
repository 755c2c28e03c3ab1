"""How a user's own folder is split: groups, splits.csv, folds; names that look like two eyes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dataset_writers import write_paired

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.load import parse
from vesselforge.configs.settings import DataSettings, PipelineConfig
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.data.layouts.fellow_eyes import fellow_eyes
from vesselforge.data.layouts.items import Dataset
from vesselforge.pipeline.input_checks import check_inputs

EYES = [f"P{n:02d}_{side}" for n in range(20) for side in ("OD", "OS")]


def dataset(root: Path, **more: object) -> Dataset:
    return load_settings(DataSettings.model_validate({"name": "paired", "root": root, **more}))


def split_of(root: Path, **more: object) -> dict[str, str]:
    return {item.id: item.split for item in dataset(root, **more)}


def empty_files(root: Path, names: list[str]) -> Path:
    """A folder that nothing is decoded of."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
        for name in names:
            (root / part / f"{name}.png").touch()
    return root


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    """Both eyes of 20 patients."""
    return empty_files(tmp_path / "eyes", EYES)


@pytest.mark.parametrize("group", [r"^(P\d+)", r"(?P<group>P\d+)_(OD|OS)"])
def test_both_eyes_of_a_patient_stay_together(eyes: Path, group: str) -> None:
    splits = split_of(eyes, group=group)
    assert all(splits[f"P{n:02d}_OD"] == splits[f"P{n:02d}_OS"] for n in range(20))
    found = list(splits.values())
    assert [found.count(s) for s in ("train", "validation", "test")] == [26, 6, 8]
    assert dataset(eyes, group=group).problems == ()


def test_a_group_is_searched_in_the_file_where_the_identifier_has_none(tmp_path: Path) -> None:
    root = tmp_path / "eyes"
    for part, mark in (("images", "anna_{}"), ("masks", "{}_vessels")):
        (root / part).mkdir(parents=True)
        for number in range(6):
            (root / part / f"{mark.format(number)}.png").touch()
    (root / "images" / "bert_6.png").touch()
    (root / "masks" / "6_vessels.png").touch()
    splits = split_of(root, pattern=r"(?P<id>\d)", group="(anna|bert)")
    assert len({splits[str(n)] for n in range(6)}) == 1 and splits["6"] != splits["0"]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("(", r"data\.group: found '\(', which is no regular expression"),
        (r"\d", r"data\.group: found '\\d', which has 0 groups"),  # as it was typed
        ("P", r"data\.group: found 'P', which has 0 groups; expected one"),
        ("(P)(0)", "has 2 groups"),
        ("(P1)", r"P00_OD\.png: data\.group: '\(P1\)' finds no group in 'P00_OD'"),
        ("(P)", "found 40 image.* of one group"),
    ],
)
def test_groups_that_are_none(eyes: Path, group: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset(eyes, group=group)


def test_eyes_in_different_splits_are_warned_about_with_the_setting_that_helps(eyes: Path) -> None:
    [problem] = dataset(eyes).problems
    assert problem.severity == "warning" and "look like two eyes of one patient" in problem.sentence
    value = problem.sentence.split("data.group: '")[1].split("'")[0]
    assert dataset(eyes, group=value).problems == ()
    splits = split_of(eyes, group=value)
    assert all(splits[f"P{n:02d}_OD"] == splits[f"P{n:02d}_OS"] for n in range(20))
    assert dataset(eyes, group="(.+)").problems == ()


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("{n}{side}", ("L", "R")),
        ("im{n}_{side}", ("l", "r")),
        ("{side}_{n}", ("left", "right")),
        ("{n} {side} visit 2", ("OD", "OS")),
        ("eye-{side}-{n}", ("LE", "RE")),
        ("Image{n}{side}", ("Left", "Right")),
    ],
)
def test_the_setting_works_for_names_of_every_kind(name: str, rest: tuple[str, str]) -> None:
    pairs = [tuple(name.format(n=f"{n:02d}", side=side) for side in rest) for n in range(5)]
    splits = dict(pair for one, other in pairs for pair in ((one, "train"), (other, "test")))
    splits |= {f"im{n:04d}": "validation" for n in range(3) if not name.startswith("eye")}
    said = fellow_eyes(splits)
    value = said.split("data.group: '")[1].split("'")[0]
    assert parse(value) == value  # as `--set data.group=…` and YAML read it
    groups = {id_: found[1] for id_ in splits if (found := re.search(value, id_))}
    assert all(groups[one] == groups[other] for one, other in pairs)
    assert len(set(groups.values())) == len(splits) - len(pairs)
    assert not fellow_eyes(dict.fromkeys(splits, "train"))


def test_names_that_are_no_eyes() -> None:
    names = ["her", "hel", "control", "contror", "period", "perios", "im0001", "im0002", "7_OD"]
    assert not fellow_eyes({name: ("train", "test")[n % 2] for n, name in enumerate(names)})


def listed(root: Path, *lines: str) -> Path:
    (root / "splits.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_list_of_ones_own_is_followed(tmp_path: Path) -> None:
    root = write_paired(tmp_path, "abcdef")
    splits = ["train", "test", "validation", "train", "test", "train"]
    wanted = dict(zip("abcdef", splits, strict=True))
    listed(root, "id,split", *(f"{id_},{split}" for id_, split in wanted.items()))
    assert split_of(root) == wanted
    listed(root, "ID;Split", *(f" {id_}.png ; {split}" for id_, split in wanted.items()))
    assert split_of(root) == wanted
    left = split_of(root, exclude=["a"])
    assert left == {id_: split for id_, split in wanted.items() if id_ != "a"}


@pytest.mark.parametrize("name", ["split.csv", "Splits.txt", "data_splits.xlsx", "splits.csv.txt"])
def test_a_list_that_is_almost_called_so_is_warned_about(tmp_path: Path, name: str) -> None:
    root = write_paired(tmp_path, "abcdef")
    dealt = split_of(root)
    (root / name).write_text("id,split\na,test\n")
    dataset = named_dataset("paired", root)
    assert {item.id: item.split for item in dataset.items} == dealt
    (problem,) = dataset.problems
    assert (problem.severity, problem.file) == ("warning", str(root / name))
    assert "is not read" in problem.sentence and "call it splits.csv" in problem.sentence
    listed(root, "id,group", *(f"{id_},{id_}" for id_ in "abcdef"))
    assert not named_dataset("paired", root).problems  # there is one, and the other is meant so


def test_a_list_may_name_groups_alone(eyes: Path) -> None:
    listed(eyes, "group,id", *(f"{name[:3]},{name}" for name in EYES))
    splits = split_of(eyes)
    assert all(splits[f"P{n:02d}_OD"] == splits[f"P{n:02d}_OS"] for n in range(20))
    assert dataset(eyes).problems == ()
    with pytest.raises(DataError, match=r"data\.group: splits\.csv has a column `group`"):
        dataset(eyes, group="(P..)")


def test_names_match_however_their_accents_are_written(tmp_path: Path) -> None:
    root = write_paired(tmp_path, ["e\u0301a", "b", "c"])
    listed(root, "id,split", "\u00e9a,test", "b,train", "c,validation")
    assert split_of(root) == {"\u00e9a": "test", "b": "train", "c": "validation"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["id,split", "a,train", "b,test"],
            r"splits\.csv: found no line for 'c', 'd'; expected one",
        ),
        (["id,split", "a,train", "x,test"], r"line 3: found no image with the identifier 'x'"),
        (["id,split", "a,train", "a,test"], r"line 3: found 'a' a second time"),
        (
            ["id,split", "a,train", "", "b,val"],
            r"line 4: found the split 'val', expected one of tr",
        ),
        (["id,split", "a"], r"line 2: found \['a'\], expected one value for each of id, split"),
        (["a,train"], r"found the header 'a,train', expected a header with `id`"),
        (["id,split,patient"], r"found the header 'id,split,patient'"),
        ([""], "found the header ''"),
        (
            ["id,split,group", "a,train,P", "b,test,P", "c,train,Q", "d,validation,R"],
            "found 'a' in train and 'b' in test, which are of one group, 'P'",
        ),
    ],
)
def test_faulty_lists(tmp_path: Path, lines: list[str], message: str) -> None:
    root = listed(write_paired(tmp_path, "abcd"), *lines)
    with pytest.raises(DataError, match=message) as caught:
        dataset(root)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    root = write_paired(tmp_path, "abcd")
    (root / "splits.csv").write_bytes(b"id,split\n\xff\xfe\x00,train\n")
    with pytest.raises(DataError, match=r"splits\.csv: cannot be read as CSV in UTF-8"):
        dataset(root)


def test_a_list_moves_no_test_image_of_a_line_of_models_to_training(tmp_path: Path) -> None:
    root = listed(write_paired(tmp_path, "abc"), "id,split", "a,train", "b,train", "c,validation")
    with pytest.raises(DataError, match="found 'b' in train, expected test, where it was"):
        dataset(root, known_splits={"b": "test"})


def test_folds_and_a_list_are_two_ways(tmp_path: Path) -> None:
    root = listed(write_paired(tmp_path, "abc"), "id,split", "a,train", "b,test", "c,validation")
    with pytest.raises(
        DataError, match=r"has a column `split`, and data\.folds deals all images anew"
    ):
        dataset(root, folds=3, fold=0)


@pytest.mark.parametrize("name", ["paired", "phantom"])
def test_folds_test_every_image_once(tmp_path: Path, name: str) -> None:
    phantom = {"train": 4, "validation": 2, "test": 3, "size": 64}
    values: dict[str, object] = {"name": name, "folds": 3, "phantom": phantom}
    if name == "paired":
        values["root"] = empty_files(tmp_path / "own", [f"n{i}" for i in range(9)])
    settings = DataSettings.model_validate(values)
    with pytest.raises(
        ConfigError, match=r"data.folds: 3: only `vesselforge run` and `compare` do.*0 to 2"
    ):
        load_settings(settings)
    tests = [i.id for fold in settings.each_fold() for i in load_settings(fold).split("test")]
    assert len(tests) == len(set(tests)) == 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "drive", "folds": 5}, "drive has none"),
        ({"name": "stare", "folds": 4}, "stare has 5 of its own"),
        ({"name": "stare", "fold": 5}, "expected 0 to 4"),
        ({"name": "paired", "fold": 0}, "set `folds`, too"),
        ({"name": "paired", "folds": 3, "fold": 3}, "expected 0 to 2"),
        ({"name": "drive", "group": "(.)"}, "drive has names and splits of its own"),
        ({"name": "drive", "pattern": "(?P<id>.)"}, "pattern: drive has names and"),
        ({"name": "paired", "folds": 3, "known_splits": {"a": "test"}}, "folds are dealt anew"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSettings.model_validate(values)


def test_one_fold_of_stare_is_said_in_one_way() -> None:
    folds = DataSettings.model_validate({"name": "stare", "folds": 5})
    assert folds.is_cross_validated
    alone = [DataSettings.model_validate({"name": "stare", "fold": n}) for n in range(5)]
    assert folds.each_fold() == alone
    assert DataSettings.model_validate({"name": "stare", "folds": 5, "fold": 2}) == alone[2]


def test_single_steps_do_one_fold(tmp_path: Path) -> None:
    config = PipelineConfig.model_validate({"data": {"folds": 3}})
    check_inputs(config, tmp_path)
    with pytest.raises(ConfigError, match=r"data.folds: 3.*set data.fold"):
        check_inputs(config, tmp_path, "teacher")
