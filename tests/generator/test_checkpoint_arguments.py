"""Constructor arguments in official snapshots: contradictions are refused."""

from __future__ import annotations

from functools import partial

import pytest
from official_format import (
    persist,
    write_snapshot,
)
from official_networks import (
    D_KWARGS,
    G_KWARGS,
    make_discriminator,
    make_generator,
    official,
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
        ({**G_KWARGS, "c_dim": 4}, "Generator.c_dim is 3"),
        ({**G_KWARGS, "img_resolution": 32}, "Generator.img_resolution is 16"),
        ({**G_KWARGS, "mapping_kwargs": 2}, "mapping_kwargs of its Generator is not a dict"),
        ({**G_KWARGS, "conv_clamp": 256}, "has the argument 'conv_clamp', as StyleGAN3"),
        (
            {**G_KWARGS, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}},
            "conv_clamp is 256 in it, but its arguments say None",
        ),
        ({**G_KWARGS, "z_dim": float("nan")}, "value of type float"),
        ({**G_KWARGS, "synthesis_kwargs": {"a": {1, 2}}}, "value of type set"),
    ],
)
def test_contradictions_are_refused(write, kwargs, reason):
    assert reason in refusal(write(only_ema(make_generator(), kwargs)))


def test_discriminator_contradictions(write):
    kwargs = {**D_KWARGS, "epilogue_kwargs": {"mbstd_group_size": 4}}
    message = refusal(write({"D": persist(make_discriminator(), official(kwargs))}))
    assert "Discriminator.b4.mbstd.group_size is 2 in it, but its arguments say 4" in message
