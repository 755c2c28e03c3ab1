"""Samples without vessels and generators without training are called so, and no others are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vesselforge.pipeline.evidence import Evidence, untrained

GAN = "generator.sample"
NONE, FEW = (
    "The synthetic images show no vessels",
    "Hardly any of the synthetic images show vessels",
)


def labelled(
    drawn: int, share: float | None, kept: int, kept_share: float | None
) -> dict[str, Any]:
    return {"drawn": drawn, "kept": kept, "in_range": {"all": share, "kept": kept_share}}


@pytest.mark.parametrize(
    ("metrics", "verdict", "said"),
    [
        (labelled(500, 0.006, 500, 0.006), NONE, "3 of 500 pass .*learns from them is noise"),
        (labelled(500, 0.006, 3, 1.0), NONE, "3 of 500 .*of the 3 that were kept, 3 pass"),
        (
            labelled(500, 0.0, 0, None),
            NONE,
            "0 of 500 .*none was kept, so there is nothing to train",
        ),
        (labelled(2000, 0.0195, 2000, 0.0195), NONE, "39 of 2,000 pass"),
        (labelled(100, 0.02, 90, 0.1), FEW, "2 of 100 .*most of what a student learns from them"),
        (labelled(100, 0.19, 30, 0.6), FEW, "19 of 100 .*of the 30 that were kept, 18 pass"),
        (labelled(100, 0.2, 100, 0.2), "", "^$"),
        (labelled(20, 0.0, 20, 0.0), NONE, "0 of 20 pass"),
    ],
)
def test_a_set_is_judged_by_how_many_look_real(
    metrics: dict[str, Any], verdict: str, said: str
) -> None:
    found = Evidence.of(metrics, GAN)
    assert found is not None and found.verdict == verdict
    assert found.sentence.startswith(verdict) and re.search(said, found.sentence)


def test_a_few_images_real_images_and_what_was_not_compared_are_not_judged() -> None:
    few = Evidence.of(labelled(19, 0.0, 19, 0.0), GAN)
    assert few is not None and few.verdict == few.sentence == ""
    assert Evidence.of(labelled(99, None, 9, None), GAN) is None
    assert Evidence.of({"drawn": 99, "kept": 9}, GAN) is None  # of an earlier version
    for kind in ("data.prepare", "data.subset"):
        assert Evidence.of(labelled(99, 0.0, 9, 0.0), kind) is None
    assert Evidence.of(labelled(99, 0.0, 9, 0.0), "data.phantom") is not None


def test_sets_are_judged_as_one() -> None:
    few = Evidence.of(labelled(19, 0.0, 10, 0.0), GAN)
    more = Evidence.of(labelled(31, 1 / 31, 0, None), GAN)
    assert Evidence.total([few, more]) == Evidence(50, 1, 10, 0)
    found = Evidence.total([few, few])
    assert found is not None and found.sentence.startswith(f"{NONE}: 0 of 38 pass")
    assert Evidence.total([]) is None and Evidence.total([few, None]) is None


def test_a_generator_is_untrained_below_a_thousand_images() -> None:
    assert untrained({"kimg": 0.25}, {"images": "x"}) == "untrained: its weights saw 0.25 kimg"
    assert untrained({"kimg": 4.0, "delivered_kimg": 0.5}, {}).endswith("saw 0.5 kimg")
    assert untrained({"kimg": 1.0}, {}) == untrained({}, {}) == ""
    for start in ("start", "start_from"):  # the weights of another
        assert untrained({"kimg": 0.25}, {start: "x"}) == ""
