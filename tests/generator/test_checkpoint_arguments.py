"""Constructor arguments in official snapshots: what cannot be one is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from official_format import persist, write_snapshot
from official_networks import (
    D_KWARGS,
    G_KWARGS,
    make_discriminator,
    make_generator,
    official,
    only_ema,
    refusal,
)

from vesselforge.generator.checkpoint import load_official


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
        ({**G_KWARGS, "z_dim": float("nan")}, "not JSON compliant"),
        ({**G_KWARGS, "synthesis_kwargs": {"a": {1, 2}}}, "type set is not JSON"),
    ],
)
def test_impossible_arguments_are_refused(write, kwargs, reason):
    assert reason in refusal(write(only_ema(make_generator(), kwargs)))


@pytest.mark.parametrize("told", [None, 128])
def test_arguments_that_the_generator_was_not_built_with_are_refused(write, told):
    """No shape tells of a clamp: the pictures would be others, without a word."""
    options = {**G_KWARGS["synthesis_kwargs"], "conv_clamp": told}
    message = refusal(write(only_ema(make_generator(), {**G_KWARGS, "synthesis_kwargs": options})))
    assert f".conv_clamp is 256 in it, but its arguments say {told}" in message
    unsaid = {name: value for name, value in options.items() if name != "conv_clamp"}
    message = refusal(write(only_ema(make_generator(), {**G_KWARGS, "synthesis_kwargs": unsaid})))
    assert ".conv_clamp is 256 in it, but its arguments say None" in message


@pytest.mark.parametrize(("group", "told"), [(2, 2), (4, None), (2, 4), (4, 2), (2, None)])
def test_group_sizes_that_the_discriminator_was_not_built_with_are_refused(write, group, told):
    network = make_discriminator()
    network.b4.mbstd = torch.nn.Module()  # a module of its own in official networks
    network.b4.mbstd.group_size = group
    kwargs = {**D_KWARGS, "epilogue_kwargs": {} if told is None else {"mbstd_group_size": told}}
    path = write({"D": persist(network, official(kwargs))})
    if group == (told or 4):
        assert load_official(path).D.kwargs == kwargs
    else:
        said = f"Discriminator.b4.mbstd.group_size is {group} in it, but its arguments say"
        assert f"{said} {told or 4}" in refusal(path)


def test_a_discriminators_clamp_is_that_of_its_layers(write):
    clamped = {**D_KWARGS, "conv_clamp": 5}
    message = refusal(write({"D": persist(make_discriminator(), official(clamped))}))
    assert ".conv_clamp is 256 in it, but its arguments say 5" in message
