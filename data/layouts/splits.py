"""Which image is in which split, where no list of the dataset says so: by a hash of the id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vesselforge.configs.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


def by_hash(ids: Iterable[str], validation_share: float, test_share: float) -> dict[str, str]:
    """Identifier → split, of a user's own set. Each id falls where its own hash says, so that
    adding images never moves an old one from the test to the training set.

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
    for name in SPLITS if test_share > 0 and len(ranked) >= 3 else (TRAIN, VALIDATION):
        if not parts[name]:
            parts[name].append(max(parts.values(), key=len).pop(0))
    return {id_: name for name, members in parts.items() for id_ in sorted(members)}


def _place(id_: str) -> float:
    """A number in [0, 1) that depends on the id alone."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:6], "big") / 2**48
