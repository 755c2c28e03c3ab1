"""Which image is in which split, where no list of the dataset says so.

Images are dealt in whole groups (a patient's eyes and visits; else each image is its own), in the
order of a hash of the group's name: the same images are dealt alike on every machine, whatever the
order of their files.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from vesselforge.configs.errors import DataError

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def deal(
    groups: Mapping[str, str],
    validation_share: float,
    test_share: float,
    known: Mapping[str, str] | None = None,
    salt: str = "",
) -> dict[str, str]:
    """Identifier → split, with exact counts. groups: identifier → group.

    test_share of all images is the test, validation_share of the others validation. Both are
    rounded, halves down, so that training gets what is left over; where groups do not add up to
    that, the nearest count that they do add up to. There is always a training and a validation
    image, and a test image when test_share > 0 and there are three groups; of groups of different
    sizes the largest one is for training.

    known: the split of images that were dealt before, which they keep. Of a group whose images
    were in several, test counts before validation, and that before train, so none goes from test or
    validation to training; new images are dealt so that the counts are approached. salt: another
    one, another order. Raises DataError when there are fewer than two groups.
    """
    sizes = _sizes(groups, salt)
    if len(sizes) < 2:
        found = f"{len(groups)} image(s)" + (" of one group" if len(groups) > 1 else "")
        raise DataError(f"found {found}, expected at least 2: one to train, one to validate")
    splits = _placed(groups, known or {})
    free = [group for group in sizes if group not in splits]
    if free and TRAIN not in splits.values():
        kept = max(reversed(free), key=sizes.__getitem__)
        splits[kept] = TRAIN
        free.remove(kept)
    total, others = len(groups), len(groups)
    for split, share in ((TEST, test_share), (VALIDATION, validation_share)):
        there = sum(sizes[group] for group, held in splits.items() if held == split)
        wanted = max(0, math.ceil(share * others - 0.5 - 1e-9) - there)  # halves down
        room = sum(sizes[group] for group in free)
        if split == TEST and VALIDATION not in splits.values():
            room -= 1  # one group at least is left
        missing = not there and share > 0 and (split == VALIDATION or len(sizes) >= 3)
        chosen = _picked(free, sizes, wanted, int(missing), room)
        splits |= dict.fromkeys(chosen, split)
        free = [group for group in free if group not in splits]
        others = total - there - sum(sizes[group] for group in chosen)
    return _in_order({id_: splits.get(group, TRAIN) for id_, group in groups.items()})


def deal_fold(
    groups: Mapping[str, str], fold: int, folds: int, validation_share: float
) -> dict[str, str]:
    """Identifier → split in one fold of a cross-validation: the images of `fold` (from 0) are the
    test, and validation_share of the others validation, other ones in every fold.

    Folds are as large as each other, to one image, as far as groups allow. Raises DataError when
    there are too few groups for so many folds.
    """
    sizes = _sizes(groups)
    held: list[list[str]] = [[] for _ in range(folds)]
    filled = [0] * folds
    for group in sorted(sizes, key=lambda group: -sizes[group]):  # the order of hashes stays
        least = filled.index(min(filled))
        held[least].append(group)
        filled[least] += sizes[group]
    if not all(held) or len(sizes) - max(map(len, held)) < 2:
        what = "images" if len(sizes) == len(groups) else "groups of images"
        raise DataError(
            f"data.folds: {folds}: found {len(sizes)} {what}, expected more: one at least in every "
            "fold, and two outside it, to train and to validate"
        )
    tested = set(held[fold])
    rest = {id_: group for id_, group in groups.items() if group not in tested}
    inner = deal(rest, validation_share, 0.0, salt=f"{fold}\0")
    return _in_order(dict.fromkeys(groups.keys() - rest.keys(), TEST) | inner)


def _sizes(groups: Mapping[str, str], salt: str = "") -> dict[str, int]:
    """Group → how many images, in the order of hashes."""
    sizes = Counter(groups.values())

    def place(group: str) -> bytes:
        return hashlib.sha256((salt + group).encode(errors="surrogateescape")).digest()

    return {group: sizes[group] for group in sorted(sizes, key=place)}


def _placed(groups: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Group → split, of those of which an image is known."""
    found: dict[str, str] = {}
    for id_, group in groups.items():
        if id_ in known:
            found[group] = max(known[id_], found.get(group, TRAIN), key=SPLITS.index)
    return found


def _picked(
    free: Sequence[str], sizes: Mapping[str, int], wanted: int, least: int, most: int
) -> list[str]:
    """Groups whose sizes add up to a number from `least` to `most`, as near to `wanted` as there
    is one (the lower of two); the first of `free` that do. None where there is no such number."""
    if all(sizes[group] == 1 for group in free):
        return list(free[: max(0, min(max(wanted, least), most))])
    sums = [1]  # bit n of entry i: the last i groups, or some of them, add up to n
    for group in reversed(free):
        sums.append(sums[-1] | sums[-1] << sizes[group])
    possible = [n for n in range(least, most + 1) if sums[-1] >> n & 1]
    if not possible:
        return []
    left = min(possible, key=lambda n: (abs(n - wanted), n))
    chosen = []
    for group, after in zip(free, reversed(sums[:-1]), strict=True):
        size = sizes[group]
        if size <= left and after >> (left - size) & 1:
            chosen.append(group)
            left -= size
    return chosen


def _in_order(splits: Mapping[str, str]) -> dict[str, str]:
    """By split, then by identifier."""
    ranked = sorted(splits, key=lambda id_: (SPLITS.index(splits[id_]), id_))
    return {id_: splits[id_] for id_ in ranked}
