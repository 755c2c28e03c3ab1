"""Each filter rejects exactly what it should, for its own reason, in its turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vesselforge.configs.settings import LabelSettings
from vesselforge.data.structure import TreeFigures
from vesselforge.segmenter.labels.pseudo_labels import (
    Figures,
    Nearest,
    as_table,
    summary,
    why_rejected,
)

TREE = TreeFigures(0.1, 3.0, 4.0, 5.0, 6.0)
GOOD = Figures(
    "good",
    confidence=0.8,
    vessel_share=0.1,
    tree=TREE,
    in_range=True,
    fault="",
    nearest=Nearest("21", 0.5, False),
)
ALL = LabelSettings(real_range=0.98, reject_copies=True)
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"vessel_share": 0.009}, "vessel-share 0.0090 is below 0.01"),
    ({"vessel_share": 0.46}, "vessel-share 0.4600 is above 0.45"),
    ({"confidence": 0.59}, "confidence 0.590 is below 0.6"),
    ({"fault": "calibre 9 is above 5"}, "real-range calibre 9 is above 5"),
    (
        {"nearest": Nearest("22", 0.12345, True)},
        "copies 22: distance 0.1235 is less than comes by chance",
    ),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS)
def test_one_fault_one_reason(change: dict[str, Any], reason: str) -> None:
    assert why_rejected(GOOD, ALL) == ""
    assert why_rejected(replace(GOOD, **change), ALL) == reason


def test_the_first_filter_names_the_reason() -> None:
    for first, (change, reason) in enumerate(FAULTS[1:], 1):
        later: dict[str, Any] = {}
        for other, _ in FAULTS[first:]:
            later = other | later  # an earlier fault stays
        assert why_rejected(replace(GOOD, **later | change), ALL) == reason


def test_what_was_not_measured_rejects_nothing() -> None:
    bare = Figures("bare", 0.1, TREE)
    assert why_rejected(bare, ALL) == ""
    settings = LabelSettings(labels="agreement", min_agreement=0.7)
    seen = replace(bare, confidence=0.9, agreement=0.7)
    assert why_rejected(seen, settings) == ""
    low = replace(seen, agreement=0.69)
    assert why_rejected(low, settings) == "agreement 0.690 is below 0.7"
    unsure = replace(low, confidence=0.2)
    assert why_rejected(unsure, settings) == "confidence 0.200 is below 0.6"


def test_limits_themselves_are_allowed() -> None:
    edge = replace(GOOD, confidence=0.6, vessel_share=0.01)
    assert why_rejected(edge, ALL) == ""
    assert why_rejected(replace(edge, vessel_share=0.45), ALL) == ""


def test_reasons_are_counted_by_filter() -> None:
    images = [replace(GOOD, id=str(i), confidence=0.5 + 0.1 * i) for i in range(4)]
    facts = summary([replace(image, reason=why_rejected(image, ALL)) for image in images])
    assert (facts["drawn"], facts["kept"], facts["rejected"]) == (4, 3, 1)
    assert facts["reasons"] == {"confidence": 1}
    assert facts["mean_confidence"] == pytest.approx(0.7)


def test_the_table_has_every_figure_and_blanks_for_none() -> None:
    bare_one = Figures("bare", 0.25, TREE, confidence=0.5, reason="confidence, low")
    head, full, bare = as_table([GOOD, bare_one])
    assert dict(zip(head, full, strict=True)) == {
        "id": "good", "confidence": "0.8000", "agreement": None, "vessel_share": "0.1000",
        "density": "0.1",
        "calibre": "3", "components": "4", "ends": "5", "branchings": "6", "in_range": 1,
        "nearest": "21",
        "distance": "0.5", "suspicious": 0, "kept": 1, "reason": "",
    }  # fmt: skip
    tree, none = ["0.1", "3", "4", "5", "6"], [None] * 4
    assert bare == ["bare", "0.5000", None, "0.2500", *tree, *none, 0, "confidence, low"]
