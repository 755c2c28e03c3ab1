"""Tiles: their weights add up, local networks do not notice them, SA-UNet hardly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from segmenter_helpers import settled

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.progress import Interrupted
from vesselforge.segmenter.inference import tiles
from vesselforge.segmenter.inference.tiles import BLEND, CONTEXT, as_input, spans, tiled
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build

SMALL = 72
IMAGE = np.random.default_rng(0).integers(0, 256, (201, 157, 3), dtype=np.uint8)
LOCAL = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def pointwise(images: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(images[:, :1] * 3 - images[:, 1:2] * images[:, 2:])


def local(images: torch.Tensor) -> torch.Tensor:
    """Sees the zero padding at the rim of whatever it is given, as networks do."""
    return torch.sigmoid(F.conv2d(images, LOCAL, padding=1))


@pytest.fixture
def narrow(monkeypatch):
    """Tiles that small images need many of."""
    monkeypatch.setattr(tiles, "CONTEXT", 9)
    monkeypatch.setattr(tiles, "BLEND", 6)


@settings(max_examples=300, deadline=None)
@given(
    length=st.integers(1, 3000),
    multiple=st.sampled_from([1, 2, 8, 16, 32]),
    room=st.integers(0, 300),
)
def test_weights_add_up_to_one_whatever_the_sizes(length, multiple, room):
    side = 2 * (2 * CONTEXT + BLEND + multiple) + multiple + room
    total, kept = np.zeros(length), []
    for here, weight in spans(length, multiple, side):
        assert here.start % multiple == 0 and here.stop - here.start <= side
        assert 0 <= here.start < here.stop <= length and weight.min() >= 0
        low, high = here.start + np.flatnonzero(weight)[[0, -1]]
        assert low == 0 or low - here.start >= CONTEXT  # no rim is kept
        assert high == length - 1 or here.stop - 1 - high >= CONTEXT
        total[here] += weight
        kept.append((low, high + 1))
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for (_, before), (after, _) in itertools.pairwise(kept):
        assert before - after >= BLEND


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("run", [pointwise, local])
@pytest.mark.parametrize("multiple", [1, 8])
def test_a_local_network_does_not_notice_tiles(run, multiple):
    seen = []

    def watched(images):
        seen.append(images.shape[-2:])
        return run(images)

    (found,) = tiled(watched, IMAGE, multiple, SMALL)
    np.testing.assert_allclose(found, run(as_input(IMAGE))[0, 0].numpy(), atol=1e-6)
    assert len(seen) > 6 and max(max(size) for size in seen) <= SMALL


def test_small_images_stay_whole():
    (prob,) = tiled(local, IMAGE, 8, 512)
    np.testing.assert_array_equal(prob, local(as_input(IMAGE))[0, 0].numpy())


@pytest.mark.usefixtures("narrow")
def test_cropping_is_what_keeps_rims_out(monkeypatch):
    """The check above can fail: without context, the zeros beyond a tile's rim come through."""
    monkeypatch.setattr(tiles, "CONTEXT", 0)
    whole = local(as_input(IMAGE))[0, 0].numpy()
    assert np.abs(tiled(local, IMAGE, 1, SMALL) - whole).max() > 1e-3


def test_sa_unet_in_tiles_equals_sa_unet_whole():
    model = Model([settled(build("sa-unet", width=4))], 0.5, torch.device("cpu"))
    image = np.tile(IMAGE, (3, 3, 1))[:577, :451]
    whole = model.run(as_input(image))[0, 0].numpy()
    assert np.ptp(whole) > 0.2
    (found,) = tiled(model.run, image, 8, 528)
    assert np.abs(found - whole).max() < 1e-5


@pytest.mark.usefixtures("narrow")
def test_tiles_that_disagree_fade_into_each_other(monkeypatch):
    """The worst that GroupNorm's statistics of a tile could do: 0 in one tile, 1 in the next."""
    monkeypatch.setattr(tiles, "BLEND", 32)
    turn = iter([0.0, 1.0] * 50)

    def moody(images):
        return torch.full_like(images[:, :1], next(turn))

    (prob,) = tiled(moody, IMAGE[:, :60], 8, 200)
    assert prob.min() == 0 and prob.max() == 1
    assert np.abs(np.diff(prob, axis=0)).max() < 1.01 * np.pi / 2 / 32


def test_tiles_that_are_too_small_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="found 500 pixels, expected at least 528"):
        spans(600, 8, 500)


@pytest.mark.usefixtures("narrow")
def test_the_watcher_hears_every_tile_and_may_stop():
    heard = []
    tiled(pointwise, IMAGE, 8, SMALL, heard.append)
    assert heard[-1] == 1 and heard == sorted(heard) and len(heard) > 6

    def stop(share):
        raise Interrupted(f"{share:.2f}")

    with pytest.raises(Interrupted):
        tiled(pointwise, IMAGE, 8, SMALL, stop)
