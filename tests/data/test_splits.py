"""Splits: explicit lists of the public sets, and hashes that never move an image."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselforge.configs.catalogue import DATASETS
from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.splits import SPLITS, by_hash

DRIVE, CHASE_DB1 = (DATASETS[name].folds[0] for name in ("drive", "chase-db1"))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("drive", (16, 4, 20)),
        ("chase-db1", (16, 4, 8)),
        ("stare", (13, 3, 4)),
        ("hrf", (12, 3, 30)),
    ],
)
def test_public_sets_are_disjoint(name: str, sizes: tuple[int, ...]) -> None:
    for fold in DATASETS[name].folds:
        assert tuple(len(fold[split]) for split in SPLITS) == sizes
        assert len({id_ for ids in fold.values() for id_ in ids}) == sum(sizes)


def test_the_lists_are_the_official_ones() -> None:
    assert DRIVE["test"][0] == "01"
    assert DRIVE["test"][-1] == "20"
    assert DRIVE["train"][0] == "21"
    assert DRIVE["validation"] == ("37", "38", "39", "40")
    assert CHASE_DB1["train"][:2] == ("01L", "01R")
    assert CHASE_DB1["test"][0] == "11L"


def test_no_child_has_an_eye_on_either_side() -> None:
    children = {name: {id_[:2] for id_ in ids} for name, ids in CHASE_DB1.items()}
    assert not children["train"] & children["validation"]
    assert not children["train"] & children["test"]


def test_every_stare_image_is_tested_once() -> None:
    folds = DATASETS["stare"].folds
    assert len(folds) == 5
    assert len({id_ for fold in folds for id_ in fold["test"]}) == 20


def by_split(ids: Iterable[str], validation: float, test: float) -> dict[str, set[str]]:
    found = by_hash(ids, validation, test)
    return {split: {id_ for id_ in found if found[id_] == split} for split in SPLITS}


IDS = st.sets(st.text("abcdef0123456789_-", min_size=1, max_size=8), min_size=3, max_size=60)
SHARES = st.floats(0.05, 0.45)


@settings(max_examples=40, deadline=None)
@given(IDS, SHARES, SHARES)
def test_hashed_splits_are_whole_and_never_empty(
    ids: set[str], validation: float, test: float
) -> None:
    parts = by_split(ids, validation, test)
    assert sorted(id_ for members in parts.values() for id_ in members) == sorted(ids)
    assert all(parts.values())
    assert parts == by_split(sorted(ids, reverse=True), validation, test)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 9999), min_size=40, max_size=80), st.integers(0, 9999))
def test_a_new_image_moves_no_old_one(numbers: set[int], new: int) -> None:
    old = {f"image{n}" for n in numbers}
    before, after = by_split(old, 0.2, 0.2), by_split(old | {f"image{new}"}, 0.2, 0.2)
    if all(len(members) > 1 for members in before.values()):
        assert before["test"] <= after["test"]
        assert before["train"] <= after["train"]


def test_shares_are_met_on_average() -> None:
    parts = by_split((f"image{n}" for n in range(4000)), 0.25, 0.2)
    assert len(parts["test"]) == pytest.approx(800, rel=0.1)
    assert len(parts["validation"]) == pytest.approx(800, rel=0.1)


def test_no_test_when_none_is_asked_for() -> None:
    assert not by_split("abcdefgh", 0.2, 0.0)["test"]


def test_two_images_are_one_and_one_and_fewer_are_refused() -> None:
    parts = by_split("ab", 0.2, 0.2)
    assert len(parts["train"]) == len(parts["validation"]) == 1
    with pytest.raises(DataError, match=r"found 1 image.*at least 2"):
        by_hash("a", 0.2, 0.2)
