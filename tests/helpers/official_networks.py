"""Tiny networks and whole snapshots for the tests of the official format."""

from __future__ import annotations

import pytest
import torch
from official_format import EasyDict, persist

from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.checkpoint import load_official
from vesselforge.generator.networks import Discriminator, Generator

G_KWARGS = {
    "z_dim": 8,
    "w_dim": 8,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {
        "channel_base": 64,
        "channel_max": 8,
        "num_fp16_res": 4,
        "conv_clamp": 256,
    },
    "c_dim": 3,
    "img_resolution": 16,
    "img_channels": 3,
}
D_KWARGS = {
    "block_kwargs": {"freeze_layers": 2},
    "mapping_kwargs": {},
    "epilogue_kwargs": {"mbstd_group_size": 2},
    "channel_base": 64,
    "channel_max": 8,
    "num_fp16_res": 4,
    "conv_clamp": 256,
    "c_dim": 3,
    "img_resolution": 16,
    "img_channels": 3,
}
TRAINING_SET = {"class_name": "training.dataset.ImageFolderDataset", "path": "x.zip", "xflip": True}


def official(kwargs):
    """Arguments as the official trainer passes them: nested EasyDicts."""
    return EasyDict({k: EasyDict(v) if isinstance(v, dict) else v for k, v in kwargs.items()})


def make_generator(seed=0, **changes):
    torch.manual_seed(seed)
    network = Generator(**{**G_KWARGS, **changes})
    for name, tensor in network.named_parameters():
        if name.endswith("noise_strength"):
            tensor.data.fill_(0.3)
    return network.eval().requires_grad_(False)


def make_discriminator(seed=0, frozen=()):
    torch.manual_seed(seed)
    network = Discriminator(**D_KWARGS).eval().requires_grad_(False)
    for path in frozen:  # Freeze-D: the trainer makes weight and bias of these layers buffers
        layer = network.get_submodule(path)
        for name in ("weight", "bias"):
            value = getattr(layer, name).data
            delattr(layer, name)
            layer.register_buffer(name, value)
    return network


def make_pipe():
    pipe = torch.nn.Module()
    pipe.register_buffer("p", torch.tensor(0.25))
    pipe.register_buffer("Hz_geom", torch.randn(12))
    described = persist(pipe, {"xflip": 1, "brightness": 1.0})
    described.meta["class_name"] = "AugmentPipe"
    return described


def make_snapshot(g=None, d=None, ema=None, ordered=True, **changes):
    networks = {
        "training_set_kwargs": dict(TRAINING_SET),
        "G": persist(g or make_generator(1), official(G_KWARGS), ordered=ordered),
        "D": persist(d or make_discriminator(), official(D_KWARGS), ordered=ordered),
        "G_ema": persist(ema or make_generator(2), official(G_KWARGS), ordered=ordered),
        "augment_pipe": make_pipe(),
    }
    return {**networks, **changes}


def only_ema(network, kwargs, **attributes):
    return {"G_ema": persist(network, official(kwargs), **attributes)}


def refusal(path):
    """The message of the one exception that a bad file may raise."""
    with pytest.raises(CheckpointError) as caught:
        load_official(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message
