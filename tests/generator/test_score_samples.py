"""Scoring sample folders and generators as a whole: what is written, cached, resumed, refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, write_image_set
from score_helpers import crops, write_phantom_set, write_samples
from torch import nn

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import SampleSettings, ScoreSettings
from vesselforge.data.formats.channels import Channels
from vesselforge.engine.artifacts import SCRATCH
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.metrics import published as module
from vesselforge.generator.metrics.distances import fid, kid_published
from vesselforge.generator.metrics.features import FeatureCache, extract
from vesselforge.generator.metrics.published import fake_features, real_images
from vesselforge.generator.metrics.reals import Reals, samples_of, shown
from vesselforge.generator.metrics.score import score_samples
from vesselforge.generator.models import AVERAGE, DESCRIPTION, load_generator
from vesselforge.generator.networks import Generator
from vesselforge.generator.sampling.draw import Sampler
from vesselforge.generator.values import to_uint8

SIDE = 16


class Means(nn.Module):
    """Mean colours of the four quarters of an image: 12 features."""

    def __init__(self):
        super().__init__()
        self.images = 0

    def forward(self, images):
        self.images += len(images)
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


def write_generator(folder, presentation="patch"):
    """A generator.train folder with an untrained network."""
    torch.manual_seed(0)
    kwargs = {
        "z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": SIDE, "img_channels": 3,
        "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 128, "channel_max": 8},
    }  # fmt: skip
    folder.mkdir()
    save_tensors(folder / AVERAGE, Generator(**kwargs).state_dict())
    write_json(folder / DESCRIPTION, {
        "generator": kwargs, "presentation": presentation, "resolution": SIDE,
        "native_size": None if presentation == "patch" else [40, 40],
        "channels": Channels().to_json(),
    })  # fmt: skip
    return as_artifact(folder, "generator.train")


def setting(**changes):
    values = {"features": "random", "real_views": 20, "kid_subsets": 3, "closest": 2}
    return ScoreSettings(**{**values, **changes})


def inputs_of(tmp_path, native=None):
    rng = np.random.default_rng(0)
    side = SIDE if native is None else native[0]
    return {
        "images": write_phantom_set(tmp_path / "images"),
        "samples": write_samples(
            tmp_path / "samples", crops(range(50, 55), 12, side, rng), SIDE, native
        ),
        "generator": write_generator(tmp_path / "generator", "patch" if native is None else "full"),
    }


@pytest.mark.parametrize("native", [None, [40, 40]])
def test_everything_at_once(tmp_path, native):
    inputs = inputs_of(tmp_path, native)
    cfg = setting(path_length_pairs=3, published_draws=10, neighbours=3)
    cache, means = FeatureCache(tmp_path / "cache"), Means()
    out = tmp_path / "out"
    out.mkdir()
    found = score_samples(cfg, inputs, means, "means", out, Progress(), cache)
    assert all(np.isfinite(value) for value in found.values())
    assert found["real"] == (20 if native is None else 5)
    assert found["synthetic"] == 12
    assert found["neighbours"] == 3
    assert found["random_real10_full"] == (10 if native is None else 5)
    own = {"fid10_full", "kid10_full", "kid10_full_std"}
    assert {f"random_{name}" for name in own} <= found.keys()
    assert not own & found.keys(), "only Inception's figures have the published names"
    assert "feature_path_length" in found
    assert "perceptual_path_length" not in found
    first, means.images = means.images, 0
    assert score_samples(cfg, inputs, means, "means", out, Progress(), cache) == found
    assert means.images < first, "features of real images were there already"
    assert score_samples(cfg, inputs, means, "m", out, Progress(), FeatureCache(None)) == found


def test_reals_go_the_way_of_the_samples(tmp_path):
    """Whole images are resized to the network's side and back, as samples are."""
    inputs = inputs_of(tmp_path, [40, 40])
    facts = {"presentation": "full", "resolution": SIDE, "native_size": [40, 40]}
    reals = Reals(inputs["images"].path, facts)
    drawn = list(reals.drawn(reals.training, 99, 0))
    assert [image.shape for image in drawn] == [(3, 40, 40)] * 5, "every image once"
    native = list(real_images(reals, 99, 0))
    assert [image.shape for image in native] == [(3, SIDE, SIDE)] * 5
    assert (drawn[0].float().mean() - native[0].float().mean()).abs() < 1
    assert all(image.shape == (3, 40, 40) for image in samples_of(inputs["samples"].path))


def test_drawn_crops_depend_on_the_seed_alone(tmp_path):
    images = write_phantom_set(tmp_path / "images")
    facts = {"presentation": "patch", "resolution": SIDE, "native_size": None}
    reals = Reals(images.path, facts)
    one = torch.stack(list(reals.drawn(reals.training, 70, 3)))
    assert torch.equal(one, torch.stack(list(reals.drawn(reals.training, 70, 3))))
    assert torch.equal(one[:10], torch.stack(list(reals.drawn(reals.training, 10, 3))))
    assert not torch.equal(one, torch.stack(list(reals.drawn(reals.training, 70, 4))))
    assert len({image.numpy().tobytes() for image in one}) > 60


def test_published_definition_step_by_step(tmp_path):
    inputs = inputs_of(tmp_path)
    folder = inputs["generator"].path
    found = score_samples(
        setting(published_draws=40, features="inception"),
        inputs,
        Means(),
        "m",
        tmp_path,
        Progress(),
        FeatureCache(None),
    )
    generator, facts = load_generator(folder)
    sampler = Sampler(generator, SampleSettings(psi=1.0, noise="random"))
    fake = extract(to_uint8(sampler.draw(range(40))), Means())
    reals = Reals(inputs["images"].path, facts)
    real = extract(reals.drawn(reals.training, 40, 0), Means())
    assert found["fid40_full"] == pytest.approx(fid(real, fake), rel=1e-6)
    assert found["kid40_full"] == pytest.approx(kid_published(real, fake)[0], rel=1e-6)


def test_published_draws_go_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 8)
    monkeypatch.setattr(module, "BATCH", 4)
    folder, scratch = write_generator(tmp_path / "generator").path, tmp_path / SCRATCH
    with pytest.raises(Interrupted, match="after 8 of 20"):
        fake_features(folder, Means(), 20, 0, scratch, StopAfter(4))
    assert len(list(scratch.iterdir())) == 1
    means = Means()
    found = fake_features(folder, means, 20, 0, scratch, Progress())
    assert means.images == 12, "the first 8 were kept"
    assert torch.equal(found, fake_features(folder, Means(), 20, 0, tmp_path / "b", Progress()))


def test_interrupted_between_the_parts(tmp_path):
    inputs = inputs_of(tmp_path)
    with pytest.raises(Interrupted, match="real images"):
        score_samples(setting(), inputs, Means(), "m", tmp_path, StopAfter(1), FeatureCache(None))


def test_channels_that_scores_see():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, [2, 4, 3, 3]).astype(np.uint8)
    assert torch.equal(shown(pixels, Channels("rgb+mask", 4)), torch.from_numpy(pixels[:, :3]))
    deep = (pixels.astype(np.uint16) * 257)[:, :1]
    grey = shown(deep, Channels("grey", 1, 16))
    assert torch.equal(grey, torch.from_numpy(pixels[:, :1]).expand(-1, 3, -1, -1))


def test_too_few_samples(tmp_path):
    inputs = {
        "images": write_image_set(tmp_path / "images"),
        "samples": write_samples(
            tmp_path / "s", crops(range(1), 1, SIDE, np.random.default_rng(0)), SIDE
        ),
    }
    with pytest.raises(DataError, match="20 real and 1 synthetic"):
        score_samples(setting(), inputs, Means(), "m", tmp_path, Progress(), FeatureCache(None))
