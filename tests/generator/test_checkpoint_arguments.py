"""Constructor arguments in official snapshots: two dialects, and contradictions refused."""

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

from vesselforge.generator.checkpoint import load_official
from vesselforge.generator.networks import Generator


@pytest.fixture
def write(tmp_path):
    return partial(write_snapshot, tmp_path)


def stylegan3_generator():
    mapping = {"num_layers": 2, "w_avg_beta": 0.998}
    synthesis = {"channel_base": 64, "channel_max": 8, "conv_clamp": 256}
    return make_generator(mapping_kwargs=mapping, synthesis_kwargs=synthesis)


def test_stylegan3_dialect_fills_its_own_defaults(write):
    ours = stylegan3_generator()
    kwargs = {key: G_KWARGS[key] for key in G_KWARGS if not key.startswith("synthesis")}
    kwargs |= {"channel_base": 64, "channel_max": 8, "fused_modconv_default": "inference_only"}
    read = load_official(write(only_ema(ours, kwargs))).G_ema
    assert read.dialect == "stylegan3" and read.kwargs == kwargs
    built = read.build_kwargs()
    assert built["synthesis_kwargs"] == {
        "channel_base": 64, "channel_max": 8, "num_fp16_res": 4, "conv_clamp": 256
    }  # fmt: skip
    assert built["mapping_kwargs"] == {"num_layers": 2, "w_avg_beta": 0.998}
    Generator(**built).load_state_dict(read.tensors, strict=True)


def test_ada_dialect_fills_its_own_defaults(write):
    synthesis = {"channel_base": 64, "channel_max": 8}
    kwargs = {**G_KWARGS, "synthesis_kwargs": synthesis}
    read = load_official(write(only_ema(make_generator(**kwargs), kwargs))).G_ema
    built = read.build_kwargs()
    assert read.dialect == "ada"
    assert built["synthesis_kwargs"] == {**synthesis, "num_fp16_res": 0, "conv_clamp": None}
    assert built["mapping_kwargs"]["w_avg_beta"] == 0.995


def test_dialect_from_attributes_alone(write):
    kwargs = {key: G_KWARGS[key] for key in G_KWARGS if not key.startswith("synthesis")}
    ours = make_generator(mapping_kwargs={"num_layers": 2, "w_avg_beta": 0.998},
                          synthesis_kwargs={"conv_clamp": 256})  # fmt: skip
    assert load_official(write(only_ema(ours, kwargs))).G_ema.dialect == "stylegan3"
    d_kwargs = {key: D_KWARGS[key] for key in D_KWARGS if key != "conv_clamp"}
    path = write({"D": persist(make_discriminator(), official(d_kwargs))})
    read = load_official(path).D
    assert read.dialect == "stylegan3" and read.build_kwargs()["conv_clamp"] == 256


def without(kwargs, name):
    return {key: value for key, value in kwargs.items() if key != name}


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        (without(G_KWARGS, "z_dim"), "lacks the integer argument z_dim"),
        ({**G_KWARGS, "z_dim": "8"}, "lacks the integer argument z_dim"),
        ({**G_KWARGS, "c_dim": 4}, "Generator.c_dim is 3"),
        ({**G_KWARGS, "img_resolution": 32}, "Generator.img_resolution is 16"),
        ({**G_KWARGS, "mapping_kwargs": {"num_layers": 8}}, "Generator.mapping.num_layers is 2"),
        ({**G_KWARGS, "mapping_kwargs": 2}, "mapping_kwargs of its Generator is not a dict"),
        ({**G_KWARGS, "conv_clamp": 256}, "synthesis_kwargs and also 'conv_clamp'"),
        (
            {**G_KWARGS, "synthesis_kwargs": {"channel_base": 64, "channel_max": 8}},
            "conv_clamp is 256 in it, but its arguments say None",
        ),
        ({**G_KWARGS, "synthesis_kwargs": {"conv_clamp": 256}}, "conv1.bias.shape is [8]"),
        ({**G_KWARGS, "z_dim": float("nan")}, "value of type float"),
        ({**G_KWARGS, "synthesis_kwargs": {"a": {1, 2}}}, "value of type set"),
    ],
)
def test_contradictions_are_refused(write, kwargs, reason):
    assert reason in refusal(write(only_ema(make_generator(), kwargs)))


def test_shapes_decide_where_attributes_are_missing(write):
    ours = persist(make_generator(), official({**G_KWARGS, "img_resolution": 32}))
    for node in (ours, ours.meta["state"]["_modules"]["synthesis"]):
        del node.meta["state"]["img_resolution"]
    assert "largest block of Generator is 16 in it" in refusal(write({"G_ema": ours}))


def test_discriminator_contradictions(write):
    kwargs = {**D_KWARGS, "epilogue_kwargs": {"mbstd_group_size": 4}}
    message = refusal(write({"D": persist(make_discriminator(), official(kwargs))}))
    assert "Discriminator.b4.mbstd.group_size is 2 in it, but its arguments say 4" in message
