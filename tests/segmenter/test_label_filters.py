"""Each filter rejects exactly what it should, for its own reason, in its turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vesselforge.configs.settings import LabelSettings, PseudoLabelSettings
from vesselforge.data.structure import TreeFigures
from vesselforge.segmenter.labels.filters import (
    FILTERS,
    Figures,
    Nearest,
    reject,
    share_of,
    why_rejected,
)
from vesselforge.segmenter.labels.pseudo_labels import as_table, summary

GOOD = Figures(
    "good",
    confidence=0.8,
    vessel_share=0.1,
    tree=TreeFigures(0.1, 3.0, 4.0, 5.0, 6.0),
    in_range=True,
    fault="",
    nearest=Nearest("21", 0.5, False),
    overlap=0.6,
    overlap_image="21",
    uncertainty=0.2,
)
ALL = LabelSettings(
    real_range=0.98,
    reject_copies=True,
    max_overlap=0.8,
    disagreement="flips",
    worst_disagreement=0.25,
)
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"vessel_share": 0.009}, "vessel-share 0.0090 is below 0.01"),
    ({"vessel_share": 0.46}, "vessel-share 0.4600 is above 0.45"),
    ({"confidence": 0.59}, "confidence 0.590 is below 0.6"),
    ({"fault": "calibre 9 is above 5"}, "real-range calibre 9 is above 5"),
    (
        {"nearest": Nearest("22", 0.12345, True)},
        "copies 22: distance 0.1235 is less than comes by chance",
    ),
    ({"overlap": 0.81}, "overlap 0.810 with 21 is above 0.8"),
]


def test_every_setting_of_a_filter_belongs_to_one() -> None:
    ours = [name for each in FILTERS for name in each.settings] + ["worst_disagreement"]
    how_labels_are_made = {"pixel_weights", "disagreement"}
    assert sorted(ours) == sorted(PseudoLabelSettings.model_fields.keys() - how_labels_are_made)


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


def test_filters_that_are_off_ask_for_nothing() -> None:
    bare = Figures("bare", 0.1, 0.8)
    assert reject([bare], LabelSettings()) == [""]
    for settings in (
        {"real_range": 0.9},
        {"reject_copies": True},
        {"max_overlap": 0.9},
        {"worst_disagreement": 0.5, "disagreement": "flips"},
    ):
        with pytest.raises(ValueError, match="not measured"):
            reject([bare], LabelSettings(**settings))


def test_what_the_teacher_is_asked_for_depends_on_whose_labels_they_are() -> None:
    bare = Figures("bare", 0.1)
    assert reject([bare], LabelSettings(labels="own")) == [""]
    for settings, judged in (
        (LabelSettings(), bare),
        (LabelSettings(labels="agreement"), replace(bare, confidence=0.9)),
    ):
        with pytest.raises(ValueError, match="not measured"):
            reject([judged], settings)
    settings = LabelSettings(labels="agreement", min_agreement=0.7)
    seen = replace(bare, confidence=0.9, agreement=0.7)
    assert why_rejected(seen, settings) == ""
    low = replace(seen, agreement=0.69)
    assert why_rejected(low, settings) == "agreement 0.690 is below 0.7"
    assert why_rejected(low, LabelSettings()) == ""
    unsure = replace(low, confidence=0.2)
    assert why_rejected(unsure, settings) == "confidence 0.200 is below 0.6"


def test_limits_themselves_are_allowed() -> None:
    edge = replace(GOOD, confidence=0.6, vessel_share=0.01, overlap=0.8)
    assert why_rejected(edge, ALL) == ""
    assert why_rejected(replace(edge, vessel_share=0.45), ALL) == ""


def test_worst_shares_are_exact_and_of_what_is_left() -> None:
    rng = np.random.default_rng(0)
    images = [replace(GOOD, id=str(i), uncertainty=float(u)) for i, u in enumerate(rng.random(21))]
    images[3] = replace(images[3], confidence=0.1, uncertainty=9.0)
    reasons = reject(images, ALL)
    words = [reason.split(" ")[0] for reason in reasons]
    assert words[3] == "confidence"
    left = [i for i in range(21) if i != 3]
    uncertain = sorted(left, key=lambda i: images[i].uncertainty or 0)[-5:]  # 0.25 of 20
    assert [i for i, w in enumerate(words) if w == "disagreement"] == sorted(uncertain)
    assert words.count("") == 15
    at = uncertain[0]
    value = f"{images[at].uncertainty:.4g}"
    assert reasons[at] == f"disagreement {value} is among the highest 0.25 of those left"

    facts = summary(images, reasons)
    assert (facts["drawn"], facts["kept"], facts["rejected"]) == (21, 15, 6)
    assert facts["reasons"] == {"confidence": 1, "disagreement": 5}
    kept = [image for image, reason in zip(images, reasons, strict=True) if not reason]
    expected = np.mean([image.uncertainty for image in kept])
    assert facts["mean_uncertainty"] == pytest.approx(expected, abs=1e-4)


def test_equals_are_cut_by_place() -> None:
    settings = LabelSettings(disagreement="flips", worst_disagreement=0.5)
    reasons = reject([GOOD] * 5, settings)
    assert [bool(reason) for reason in reasons] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.3, 10, 3), (0.3, 9, 2), (0.29, 100, 29), (0.57, 100, 57), (0.1, 9, 0), (0.5, 0, 0)],
)
def test_a_share_is_rounded_down_but_not_by_the_arithmetic(
    share: float, count: int, expected: int
) -> None:
    assert share_of(share, count) == expected


def test_the_table_has_every_figure_and_blanks_for_none() -> None:
    head, full, bare = as_table([GOOD, Figures("bare", 0.25, 0.5)], ["", "confidence, low"])[
        :-1
    ].split("\n")
    cells = dict(zip(head.split(","), full.split(","), strict=True))
    assert cells == {
        "id": "good", "confidence": "0.8000", "agreement": "", "vessel_share": "0.1000",
        "density": "0.1",
        "calibre": "3", "components": "4", "ends": "5", "branchings": "6", "in_range": "1",
        "nearest": "21",
        "distance": "0.5", "suspicious": "0", "overlap": "0.6000", "overlap_image": "21",
        "uncertainty": "0.2000", "kept": "1", "reason": "",
    }  # fmt: skip
    assert bare == 'bare,0.5000,,0.2500,,,,,,,,,,,,,0,"confidence, low"'
