"""Numbers as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.ranges import parse_seeds, shorten_seeds


def test_seeds():
    assert parse_seeds("0-3,100, 7") == [0, 1, 2, 3, 100, 7]
    assert parse_seeds("5,3-5") == [5, 3, 4]


@given(st.sets(st.integers(0, 60), min_size=1))
def test_shortening_is_the_inverse(seeds):
    assert parse_seeds(shorten_seeds(seeds)) == sorted(seeds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "seeds: found '': '' is neither a seed nor a range"),
        ("0-3,", "'' is neither"),
        ("1-2-3", "'1-2-3' is neither a seed nor a range; expected for example 0-31,100"),
        ("-4", "'-4' is neither"),
        ("²", "'²' is neither"),
        ("1.5", "'1.5' is neither"),
        ("5-3", "the range 5-3 goes down"),
        ("4294967296", "4294967296 is too large; seeds are below 2^32"),
        ("0-4294967295", "more than 1000000 seeds"),
    ],
)
def test_wrong_seeds(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)
