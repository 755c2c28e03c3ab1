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
from vesselforge.segmenter.inference.runtimes import TorchRuntime
from vesselforge.segmenter.inference.tiles import Tiling, as_input, spans, tiled
from vesselforge.segmenter.networks import build

SMALL = Tiling(side=72, context=9, blend=6)
IMAGE = np.random.default_rng(0).integers(0, 256, (201, 157, 3), dtype=np.uint8)
LOCAL = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def pointwise(images: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(images[:, :1] * 3 - images[:, 1:2] * images[:, 2:])


def local(images: torch.Tensor) -> torch.Tensor:
    """Sees the zero padding at the rim of whatever it is given, as networks do."""
    return torch.sigmoid(F.conv2d(images, LOCAL, padding=1))


@settings(max_examples=300, deadline=None)
@given(
    length=st.integers(1, 3000),
    multiple=st.sampled_from([1, 2, 8, 16, 32]),
    context=st.integers(0, 40),
    blend=st.integers(0, 40),
    room=st.integers(0, 300),
)
def test_weights_add_up_to_one_whatever_the_sizes(length, multiple, context, blend, room):
    tiling = Tiling(2 * (2 * context + blend + multiple) + multiple + room, context, blend)
    total = np.zeros(length)
    found = spans(length, multiple, tiling)
    for span in found:
        assert span.start % multiple == 0 and span.stop - span.start <= tiling.side
        assert 0 <= span.start <= span.low < span.high <= span.stop <= length
        assert span.low == 0 or span.low - span.start >= context  # no rim is kept
        assert span.high == length or span.stop - span.high >= context
        assert span.weight.min() >= 0
        total[span.low : span.high] += span.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for before, after in itertools.pairwise(found):
        assert before.high - after.low >= blend


@pytest.mark.parametrize("run", [pointwise, local])
@pytest.mark.parametrize("multiple", [1, 8])
def test_a_local_network_does_not_notice_tiles(run, multiple):
    seen = []

    def watched(images):
        seen.append(images.shape[-2:])
        return run(images)

    (found,) = tiled(watched, IMAGE, multiple, SMALL)
    np.testing.assert_allclose(found, run(as_input(IMAGE))[0, 0].numpy(), atol=1e-6)
    assert len(seen) > 6 and max(max(size) for size in seen) <= SMALL.side


def test_small_images_stay_whole():
    (prob,) = tiled(local, IMAGE, 8, Tiling(side=512))
    np.testing.assert_array_equal(prob, local(as_input(IMAGE))[0, 0].numpy())


def test_cropping_is_what_keeps_rims_out():
    """The check above can fail: without context, the zeros beyond a tile's rim come through."""
    whole = local(as_input(IMAGE))[0, 0].numpy()
    assert np.abs(tiled(local, IMAGE, 1, Tiling(72, 0, 6)) - whole).max() > 1e-3


def test_sa_unet_in_tiles_equals_sa_unet_whole():
    run = TorchRuntime([settled(build("sa-unet", width=4))], torch.device("cpu"))
    image = np.tile(IMAGE, (3, 3, 1))[:577, :451]
    whole = run(as_input(image))[0, 0].numpy()
    assert np.ptp(whole) > 0.2
    (found,) = tiled(run, image, run.multiple, Tiling(side=528))
    assert np.abs(found - whole).max() < 1e-5


def test_tiles_that_disagree_fade_into_each_other():
    """The worst that GroupNorm's statistics of a tile could do: 0 in one tile, 1 in the next."""
    tiling, turn = Tiling(side=200, context=9, blend=32), iter([0.0, 1.0] * 50)

    def moody(images):
        return torch.full_like(images[:, :1], next(turn))

    (prob,) = tiled(moody, IMAGE[:, :60], 8, tiling)
    assert prob.min() == 0 and prob.max() == 1
    assert np.abs(np.diff(prob, axis=0)).max() < 1.01 * np.pi / 2 / tiling.blend


def test_tiles_that_are_too_small_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="found 500 pixels, expected at least 528"):
        spans(600, 8, Tiling(500))


def test_the_watcher_hears_every_tile_and_may_stop():
    heard = []
    tiled(pointwise, IMAGE, 8, SMALL, heard.append)
    assert heard[-1] == 1 and heard == sorted(heard) and len(heard) > 6

    def stop(share):
        raise Interrupted(f"{share:.2f}")

    with pytest.raises(Interrupted):
        tiled(pointwise, IMAGE, 8, SMALL, stop)
