"""Scoring sample folders and generators as a whole: what is written, repeated, refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, write_image_set
from score_helpers import crops, write_phantom_set, write_samples
from torch import nn

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.metrics.reals import Reals, sample_of, sample_records
from vesselforge.generator.metrics.sample_scores import score_samples
from vesselforge.generator.values import Channels

SIDE = 16


class Means(nn.Module):
    """Mean colours of the four quarters of an image: 12 features."""

    def forward(self, images):
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


def setting(**changes):
    values = {"features": "random", "real_views": 20}
    return ScoreSettings(**{**values, **changes})


def inputs_of(tmp_path, native=None):
    rng = np.random.default_rng(0)
    side = SIDE if native is None else native[0]
    return {
        "images": write_phantom_set(tmp_path / "images"),
        "samples": write_samples(
            tmp_path / "samples", crops(range(50, 55), 12, side, rng), SIDE, native
        ),
    }


@pytest.mark.parametrize("native", [None, [40, 40]])
def test_everything_at_once(tmp_path, native):
    inputs = inputs_of(tmp_path, native)
    found = score_samples(setting(), inputs, Means(), tmp_path, Progress())
    assert all(np.isfinite(value) for value in found.values())
    assert found["real"] == (20 if native is None else 5)
    assert found["synthetic"] == 12
    assert score_samples(setting(), inputs, Means(), tmp_path, Progress()) == found


def test_reals_go_the_way_of_the_samples(tmp_path):
    """Whole images are resized to the network's side and back, as samples are."""
    inputs = inputs_of(tmp_path, [40, 40])
    facts = {
        "presentation": "full",
        "resolution": SIDE,
        "native_size": [40, 40],
        "channels": vars(Channels()),
    }
    reals = Reals(inputs["images"].path, facts)
    drawn = list(reals.drawn(reals.training, 99, 0)[0])
    assert [image.shape for image in drawn] == [(3, 40, 40)] * 5, "every image once"
    folder = inputs["samples"].path
    samples = (sample_of(folder, record) for record in sample_records(folder))
    assert all(image.shape == (3, 40, 40) for image in samples)


def test_drawn_crops_depend_on_the_seed_alone(tmp_path):
    images = write_phantom_set(tmp_path / "images")
    facts = {
        "presentation": "patch",
        "resolution": SIDE,
        "native_size": None,
        "channels": vars(Channels()),
    }
    reals = Reals(images.path, facts)

    def drawn(count, seed):
        return torch.stack(list(reals.drawn(reals.training, count, seed)[0]))

    one = drawn(70, 3)
    assert torch.equal(one, drawn(70, 3))
    assert torch.equal(one[:10], drawn(10, 3))
    assert not torch.equal(one, drawn(70, 4))
    assert len({image.numpy().tobytes() for image in one}) > 60


def test_interrupted_between_the_parts(tmp_path):
    inputs = inputs_of(tmp_path)
    with pytest.raises(Interrupted, match="real images"):
        score_samples(setting(), inputs, Means(), tmp_path, StopAfter(1))


def test_too_few_samples(tmp_path):
    inputs = {
        "images": write_image_set(tmp_path / "images"),
        "samples": write_samples(
            tmp_path / "s", crops(range(1), 1, SIDE, np.random.default_rng(0)), SIDE
        ),
    }
    with pytest.raises(DataError, match="20 real and 1 synthetic"):
        score_samples(setting(), inputs, Means(), tmp_path, Progress())
