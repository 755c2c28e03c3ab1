"""Splits: explicit lists of the public sets, exact counts of others, and images that never move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselforge.configs.catalogue import DATASETS
from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.splits import SPLITS, deal, deal_fold

pytestmark = pytest.mark.slow

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


def by_split(groups: Mapping[str, str], *shares: float, **more: Any) -> dict[str, set[str]]:
    found = deal(groups, *shares, **more)
    assert found.keys() == groups.keys()
    return {split: {id_ for id_ in found if found[id_] == split} for split in SPLITS}


def alone(ids: Iterable[str]) -> dict[str, str]:
    """Each image a group of its own."""
    return {id_: id_ for id_ in ids}


NAME = st.text("abcdef0123456789_-", min_size=1, max_size=8)
IDS = st.sets(NAME, min_size=3, max_size=60)
SHARES = st.floats(0.05, 0.45)
GROUPS = st.dictionaries(NAME, st.sampled_from("ABCDEFGHIJKLMNOPQRST"), min_size=3, max_size=60)


def nearest(share: float, images: int) -> int:
    """Halves down, one at least."""
    below = int(share * images)
    return max(1, below + (share * images - below > 0.5 + 1e-9))


@settings(max_examples=60, deadline=None)
@given(IDS, SHARES, SHARES)
def test_counts_are_exact_whatever_the_names(ids: set[str], validation: float, test: float) -> None:
    parts = by_split(alone(ids), validation, test)
    held = min(nearest(test, len(ids)), len(ids) - 2)
    chosen = min(nearest(validation, len(ids) - held), len(ids) - held - 1)
    assert [len(parts[split]) for split in SPLITS] == [len(ids) - held - chosen, chosen, held]


@pytest.mark.parametrize(
    ("images", "expected"),
    [(2, [1, 1, 0]), (3, [1, 1, 1]), (5, [3, 1, 1]), (20, [13, 3, 4]), (25, [16, 4, 5])],
)
def test_counts_of_small_sets(images: int, expected: list[int]) -> None:
    for number in range(20):  # sets of other names
        ids = [f"s{number}_{i}" for i in range(images)]
        parts = by_split(alone(ids), 0.2, 0.2)
        assert [len(parts[split]) for split in SPLITS] == expected


@settings(max_examples=60, deadline=None)
@given(GROUPS, SHARES, SHARES, st.randoms(use_true_random=False))
def test_groups_stay_together_and_order_does_not_matter(
    groups: dict[str, str], validation: float, test: float, random: Any
) -> None:
    if len(set(groups.values())) < 2:
        with pytest.raises(DataError, match="of one group"):
            deal(groups, validation, test)
        return
    found = deal(groups, validation, test)
    for group in set(groups.values()):
        assert len({found[id_] for id_ in groups if groups[id_] == group}) == 1
    assert {"train", "validation"} <= set(found.values())
    assert len(set(groups.values())) < 3 or "test" in found.values()
    shuffled = list(groups)
    random.shuffle(shuffled)
    assert deal({id_: groups[id_] for id_ in shuffled}, validation, test) == found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=3, max_size=8), SHARES, st.integers(0, 99))
def test_no_other_groups_come_nearer_to_the_share(sizes: list[int], test: float, name: int) -> None:
    groups = {f"{name}-{g}-{i}": f"{name}-{g}" for g, size in enumerate(sizes) for i in range(size)}
    images = len(groups)
    found = len(by_split(groups, 0.2, test)["test"])
    wanted = nearest(test, images)
    spare = sizes.copy()
    spare.remove(max(sizes))  # is for training
    possible = {
        sum(chosen) for count in range(1, len(spare)) for chosen in combinations(spare, count)
    }
    assert found in possible
    assert abs(found - wanted) == min(abs(n - wanted) for n in possible)


@settings(max_examples=60, deadline=None)
@given(GROUPS, GROUPS, SHARES, SHARES, st.booleans())
def test_what_is_known_stays_and_nothing_goes_to_training(
    old: dict[str, str], new: dict[str, str], validation: float, test: float, grouped: bool
) -> None:
    """Images are added, others are gone, and groups may be given for the first time."""
    if not grouped:
        old, new = alone(old), alone(new)
    if len(set(old.values())) < 2:
        return
    before = deal(old, validation, test)
    gone = sorted(old)[0]
    new = {id_: group for id_, group in new.items() if id_ != gone}
    whole = {**{id_: group for id_, group in old.items() if id_ != gone}, **new}
    whole |= {id_: old[id_] for id_ in old.keys() & new.keys() if id_ != gone}
    if len(set(whole.values())) < 2:
        return
    after = deal(whole, validation, test, before)
    for id_ in before.keys() & after.keys():
        assert before[id_] == after[id_]
    joined = {
        id_: "one patient" if n % 2 else group for n, (id_, group) in enumerate(whole.items())
    }
    if len(set(joined.values())) > 1:
        after = deal(joined, validation, test, before)
        moved = [id_ for id_ in before.keys() & after.keys() if before[id_] != "train"]
        assert all(after[id_] != "train" for id_ in moved)


def test_new_images_approach_the_counts() -> None:
    ids = [f"eye{n}" for n in range(10)]
    known = deal(alone(ids), 0.2, 0.2)
    for count in range(11, 60):
        ids.append(f"eye{count}")
        known = deal(alone(ids), 0.2, 0.2, known)
        held = sum(split == "test" for split in known.values())
        assert held == nearest(0.2, count)


def test_no_test_when_none_is_asked_for() -> None:
    assert not by_split(alone("abcdefgh"), 0.2, 0.0)["test"]


def test_fewer_than_two_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"found 1 image.*at least 2"):
        deal({"a": "a"}, 0.2, 0.2)


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.integers(2, 6), SHARES)
def test_every_image_is_tested_in_one_fold(
    groups: dict[str, str], folds: int, validation: float
) -> None:
    few = len(set(groups.values())) < max(folds, 4)
    try:
        deal_fold(groups, 0, folds, validation)
    except DataError as error:
        assert few or folds == 2  # of which one may hold all groups but a large one
        assert f"data.folds: {folds}: found" in str(error) and "expected more" in str(error)
        return
    assert len(set(groups.values())) >= max(folds, 3)
    found = [deal_fold(groups, fold, folds, validation) for fold in range(folds)]
    for id_ in groups:
        assert [splits[id_] for splits in found].count("test") == 1
    for splits in found:
        assert set(splits.values()) == set(SPLITS)
        for group in set(groups.values()):
            assert len({splits[id_] for id_ in groups if groups[id_] == group}) == 1
    if len(set(groups.values())) == len(groups):
        sizes = [list(splits.values()).count("test") for splits in found]
        assert max(sizes) - min(sizes) <= 1


def test_folds_have_other_validation_images() -> None:
    found = [deal_fold(alone(map(str, range(20))), fold, 5, 0.25) for fold in range(5)]
    held = {
        frozenset(i for i, split in splits.items() if split == "validation") for splits in found
    }
    assert len(held) == 5 and {len(ids) for ids in held} == {4}
