"""Features of a teacher's encoder: of every network, and SA-UNet's number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_weights import golden_network
from torch import Tensor, nn

from vesselforge.configs.choices import NETWORKS
from vesselforge.segmenter.features import EncoderFeatures
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter

FINEST = {"unet-v2": 4}
"""Pixels of the image that one of the finest level stands for, where it is not one."""


def tiny(name: str) -> tuple[Segmenter, dict[str, Any]]:
    torch.manual_seed(0)
    options = {"channel": 8} if name == "unet-v2" else {"width": 8}
    return build(name, **options), options


def waves(height: int, width: int) -> Tensor:
    """[2, 3, height, width] uint8."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    planes = [torch.sin(0.3 * y + 0.2 * x + c + n) for n in range(2) for c in range(3)]
    return (127.5 + 127.5 * torch.stack(planes)).round().byte().view(2, 3, height, width)


def extractor(network: nn.Module) -> EncoderFeatures:
    return EncoderFeatures(Model([network], 0.5, torch.device("cpu")))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_features(name: str, tmp_path: Path) -> None:
    network, options = tiny(name)
    tensors = network.state_dict()
    save_model(tmp_path, [(Member(name, options, "w.safetensors"), tensors)], 0.5)
    features = EncoderFeatures(Model.load(tmp_path, torch.device("cpu")))
    images = waves(60, 70)  # no multiple of anything that a network needs
    found = features(images)
    assert found.shape == (2, features.num_features) and found.dtype == torch.float32
    assert found.isfinite().all() and not torch.equal(found[0], found[1])
    torch.testing.assert_close(features(images[1:]), found[1:], rtol=1e-4, atol=1e-5)

    side = 2 * network.multiple
    x = torch.rand(1, 3, side, side)
    with torch.no_grad():
        levels = features.network.encode(x)
    assert tuple(level.shape[1] for level in levels) == features.network.encoder_channels
    sides = [side // FINEST.get(name, 1) // 2**depth for depth in range(len(levels))]
    assert [level.shape[2:] for level in levels] == [(n, n) for n in sides]
    assert len(levels) >= 4


@pytest.mark.parametrize("name", ["sa-unet-v2", "sa2-net"])
def test_features_are_means_of_what_the_decoder_gets(name: str) -> None:
    """The decoder alone gives the logits of the levels: they hold all that it sees of the image."""
    network = tiny(name)[0].eval()
    x = waves(64, 64).float() / 255
    with torch.no_grad():
        levels, logits = network.encode(x), network(x)
        network.encode = lambda _: levels  # type: ignore[method-assign]
        assert torch.equal(network(torch.zeros_like(x)), logits)
        expected = torch.cat([level.mean((2, 3)) for level in levels], dim=1)
    torch.testing.assert_close(extractor(network)(waves(64, 64)), expected)


def test_sa_unets_features_are_what_they_were() -> None:
    """Numbers of the first version: scores of earlier runs can be held against new ones."""
    found = extractor(golden_network("sa-unet").float())(waves(36, 40))
    assert found.shape == (2, 240)
    some = [0, 15, 16, 47, 48, 111, 112, 239]
    first = [0.014772, 0.011371, 0.802654, 1.177199, 0.112985, 1.332368, 0.225865, 0.151007]
    second = [0.015756, 0.011032, 0.798927, 1.194448, 0.122859, 1.336081, 0.221353, 0.158001]
    assert found[0, some].tolist() == pytest.approx(first, abs=2e-6)
    assert found[1, some].tolist() == pytest.approx(second, abs=2e-6)
    assert found.mean().item() == pytest.approx(0.2528514, abs=1e-6)


def test_of_an_ensemble_the_first_network_is_taken() -> None:
    first, second = tiny("sa-unet")[0], tiny("unet-18")[0]
    both = EncoderFeatures(Model([first, second], 0.5, torch.device("cpu")))
    assert torch.equal(both(waves(32, 32)), extractor(first)(waves(32, 32)))
