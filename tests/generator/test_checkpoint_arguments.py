"""Constructor arguments in official snapshots: what cannot be one is refused."""

from __future__ import annotations

from functools import partial

import pytest
from official_format import (
    write_snapshot,
)
from official_networks import (
    G_KWARGS,
    make_generator,
    only_ema,
    refusal,
)


@pytest.fixture
def write(tmp_path):
    return partial(write_snapshot, tmp_path)


def without(kwargs, name):
    return {key: value for key, value in kwargs.items() if key != name}


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        (without(G_KWARGS, "z_dim"), "lacks the integer argument z_dim"),
        ({**G_KWARGS, "z_dim": "8"}, "lacks the integer argument z_dim"),
        ({**G_KWARGS, "mapping_kwargs": 2}, "mapping_kwargs of its Generator is not a dict"),
        ({**G_KWARGS, "z_dim": float("nan")}, "value of type float"),
        ({**G_KWARGS, "synthesis_kwargs": {"a": {1, 2}}}, "value of type set"),
    ],
)
def test_impossible_arguments_are_refused(write, kwargs, reason):
    assert reason in refusal(write(only_ema(make_generator(), kwargs)))
