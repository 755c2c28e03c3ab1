"""Which image is in which split: explicit lists for public sets, a hash of the id elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vesselforge.configs.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in range(first, last + 1))


def _eyes(first: int, last: int) -> tuple[str, ...]:
    return tuple(number + side for number in _numbers(first, last) for side in "LR")


# The official halves; the last four training images are held for validation.
DRIVE = {TRAIN: _numbers(21, 36), VALIDATION: _numbers(37, 40), TEST: _numbers(1, 20)}

# First 20 images / last 8, as SA-UNet and most others; both eyes of a child stay together.
CHASE_DB1 = {TRAIN: _eyes(1, 8), VALIDATION: _eyes(9, 10), TEST: _eyes(11, 14)}

# STARE has no official split. Each fold of four: two retinas with pathology, then two healthy ones.
STARE_FOLDS = (
    ("im0001", "im0044", "im0077", "im0235"),
    ("im0002", "im0139", "im0081", "im0236"),
    ("im0003", "im0291", "im0082", "im0239"),
    ("im0004", "im0319", "im0162", "im0240"),
    ("im0005", "im0324", "im0163", "im0255"),
)


def stare(fold: int) -> dict[str, tuple[str, ...]]:
    """The four of `fold` (0–4) are the test, the first three of the next one the validation."""
    test = STARE_FOLDS[fold]
    validation = STARE_FOLDS[(fold + 1) % len(STARE_FOLDS)][:3]
    held = {*test, *validation}
    train = tuple(sorted(id_ for four in STARE_FOLDS for id_ in four if id_ not in held))
    return {TRAIN: train, VALIDATION: validation, TEST: test}


def by_hash(
    ids: Iterable[str], validation_share: float, test_share: float
) -> dict[str, tuple[str, ...]]:
    """Splits of a user's own set. Each id falls where its own hash says, so that adding images
    never moves an old one from the test to the training set.

    test_share: of all images; validation_share: of the others; both are met on average only.
    There is always a training and a validation image, and a test image when test_share > 0 and
    there are three. Raises DataError when there are fewer than two images.
    """
    ranked = sorted((_place(id_), id_) for id_ in set(ids))
    if len(ranked) < 2:
        raise DataError(
            f"found {len(ranked)} image(s), expected at least 2: one to train, one to validate"
        )
    cut = test_share + validation_share * (1 - test_share)
    parts: dict[str, list[str]] = {name: [] for name in SPLITS}
    for place, id_ in ranked:
        split = TEST if place < test_share else VALIDATION if place < cut else TRAIN
        parts[split].append(id_)
    needed = [TRAIN, VALIDATION] + ([TEST] if test_share > 0 and len(ranked) >= 3 else [])
    for name in needed:
        if not parts[name]:
            richest = max(parts.values(), key=len)
            parts[name].append(richest.pop(0))
    return {name: tuple(sorted(members)) for name, members in parts.items()}


def _place(id_: str) -> float:
    """A number in [0, 1) that depends on the id alone."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:6], "big") / 2**48
