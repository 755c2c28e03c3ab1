"""What is said of a KID: as much as its error allows."""

from __future__ import annotations

import re

import pytest

from vesselforge.generator.metrics.kid_verdict import kid_in_short, kid_verdict
from vesselforge.generator.metrics.sample_scores import in_a_line


def figures(mean: float, sd: float, floor: float, floor_sd: float) -> dict[str, float]:
    return {"kid_mean": mean, "kid_std": sd, "kid_floor_mean": floor, "kid_floor_std": floor_sd}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.04, 0.005, 0.001, 0.001), "is clearly above its floor"),
        ((0.04, 0.015, 0.001, 0.02), "less than two standard deviations: a hint"),
        ((0.04, 0.039, 0.001, 0.0), "cannot tell .* 0.039 above its floor"),
        ((0.04, 0.2, 0.001, 0.0), "cannot tell .* deviation of 0.2 over"),
        ((-0.003, 0.004, 0.001, 0.0), "cannot tell .* 0.004 below its floor"),
        ((-0.04, 0.004, 0.001, 0.0), "cannot tell .* 0.041 below its floor"),
    ],
)
def test_kid_says_what_its_error_allows(
    values: tuple[float, float, float, float], said: str
) -> None:
    found = kid_verdict(figures(*values))
    assert re.search(said, found)
    in_short = {"is clearly above": "can be told", "less than": "a hint", "cannot": "cannot tell"}
    assert kid_in_short(figures(*values)) == next((v for k, v in in_short.items() if k in said), "")
    if found and "clearly" not in found:
        assert "sample.count" in found and "kid_subset_size" in found  # what would help
    assert "no clear difference" not in found


def test_without_a_floor_nothing_is_said() -> None:
    assert kid_verdict({"kid_mean": 0.1, "kid_std": 0.2}) == ""
    assert kid_in_short({"kid_mean": 0.1, "kid_std": 0.2}) == ""


def test_the_line_of_progress_says_so_too() -> None:
    line = in_a_line({"fid": 9.0} | figures(0.04, 0.2, 0.001, 0.0))
    assert line.endswith("(real against real: 0.001 ± 0): KID cannot tell")
    assert in_a_line({"fid": 9.0} | figures(0.4, 0.02, 0.001, 0.0)).endswith("± 0)")
