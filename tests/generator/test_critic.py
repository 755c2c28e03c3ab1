"""The discriminator's score of a sample: of that sample alone, seen as in training."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, write_image_set
from PIL import Image
from score_helpers import crops, picture, write_phantom_set, write_samples

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.configs.settings import ScoreSettings
from vesselforge.data.formats.channels import Channels
from vesselforge.data.imageset import read_index, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.mask_channel import as_channel
from vesselforge.generator.metrics.critic import BATCH, TABLE, Critic
from vesselforge.generator.metrics.extractors import load_extractor
from vesselforge.generator.metrics.features import FeatureCache
from vesselforge.generator.metrics.score import score_samples
from vesselforge.generator.models import CRITIC, DESCRIPTION, load_discriminator
from vesselforge.generator.networks import Discriminator
from vesselforge.generator.values import resized, restore, to_network

SIDE, GROUP, VIEWS = 16, 4, 24


def write_critic(folder, native=None, channels=None, c_dim=0, group: int | None = GROUP, **more):
    """A generator.train folder with an untrained discriminator, and nothing to sample from."""
    torch.manual_seed(0)
    channels = channels or Channels()
    kwargs = {
        "c_dim": c_dim, "img_resolution": SIDE, "img_channels": channels.count,
        "channel_base": 128, "channel_max": 8, "epilogue_kwargs": {"mbstd_group_size": group},
        **more,
    }  # fmt: skip
    folder.mkdir()
    save_tensors(folder / CRITIC, Discriminator(**kwargs).state_dict())
    write_json(folder / DESCRIPTION, {
        "generator": {}, "discriminator": kwargs, "resolution": SIDE, "native_size": native,
        "presentation": "patch" if native is None else "full", "channels": channels.to_json(),
    })  # fmt: skip
    return as_artifact(folder, "generator.train")


def judge_of(folder, images, **changes):
    return Critic(
        folder, images, **{"views": VIEWS, "seed": 0, "device": torch.device("cpu")} | changes
    )


@pytest.fixture
def room(tmp_path):
    """(discriminator, real images, samples)."""
    rng = np.random.default_rng(0)
    return (
        write_critic(tmp_path / "generator").path,
        write_phantom_set(tmp_path / "images").path,
        write_samples(tmp_path / "samples", crops(range(50, 55), 20, SIDE, rng), SIDE).path,
    )


def test_a_logit_is_of_the_sample_alone(room):
    """Neither the order, nor the batch, nor the other samples matter; the image does."""
    generator, images, samples = room
    records = read_index(samples)
    assert len(records) > BATCH
    critic = judge_of(generator, images)
    logits = critic.judge(samples, records, Progress()).logits
    assert np.std(logits) > 1e-3
    backwards = critic.judge(samples, records[::-1], Progress()).logits
    assert backwards[::-1] == pytest.approx(logits, abs=1e-5)
    for i in (0, 7, 19):
        alone = critic.judge(samples, [records[i]], Progress()).logits
        assert alone == pytest.approx([logits[i]], abs=1e-5)
    twins = critic.judge(samples, [records[3]] * 5, Progress()).logits
    assert twins == pytest.approx([logits[3]] * 5, abs=1e-5)


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_what_the_discriminator_is_shown(room, tmp_path, architecture):
    """Pixels from 0, 255 to -1, 1, in one group with three real training views."""
    _, images, samples = room
    generator = write_critic(tmp_path / "other", architecture=architecture).path
    critic = judge_of(generator, images)
    (record, *_) = read_index(samples)
    with Image.open(samples / record.image) as picture:
        pixels = np.array(picture)
    image = torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1
    views = critic._views(TRAIN)
    real = to_network(views.batch(VIEWS + GROUP - 1, 0, 0), torch.device("cpu"))
    plain = load_discriminator(generator)
    expected = float(plain(torch.cat([image[None], real[: GROUP - 1]]))[0])
    (logit,) = critic.judge(samples, [record], Progress()).logits
    assert logit == pytest.approx(expected, abs=1e-6)


def test_means_of_real_views(room):
    """Training views that are no companions, and validation views, in the same groups."""
    generator, images, samples = room
    critic = judge_of(generator, images)
    found = critic.judge(samples, read_index(samples), Progress())
    plain, device = load_discriminator(generator), torch.device("cpu")
    for split, skipped, mean in ((TRAIN, 3, found.real_mean), (VALIDATION, 0, found.held_out_mean)):
        real = to_network(critic._views(split).batch(VIEWS + skipped, 0, 0), device)[skipped:]
        beside = to_network(critic._views(TRAIN).batch(VIEWS + 3, 0, 0), device)[:3]
        logits = [float(plain(torch.cat([view[None], beside]))[0]) for view in real]
        assert mean == pytest.approx(np.mean(logits), abs=1e-5)
    figures = found.figures()
    assert figures["critic_mean"] == pytest.approx(np.mean(found.logits))
    assert figures.keys() == {"critic_mean", "critic_real_mean", "critic_held_out_mean"}


def test_real_images_as_samples_score_as_real_ones(tmp_path):
    """Whole images: of one image, as a sample file of native size and as a view, one logit."""
    native = [40, 48]
    images = write_phantom_set(tmp_path / "images", train=range(8)).path
    generator = write_critic(tmp_path / "generator", native).path
    critic = judge_of(generator, images)
    small = [resized(picture(seed), (SIDE, SIDE)) for seed in range(8)]
    drawn = [restore(pixels, native) for pixels in small]
    samples = write_samples(tmp_path / "samples", drawn, SIDE, native).path
    found = critic.judge(samples, read_index(samples), Progress())
    assert np.mean(found.logits[GROUP - 1 :]) == pytest.approx(found.real_mean, abs=1e-5)


@pytest.mark.parametrize("group", [None, 1, 8])
def test_other_groups(tmp_path, group):
    """Also more than there are images."""
    native = [40, 40]
    images = write_phantom_set(tmp_path / "images", train=range(3)).path
    generator = write_critic(tmp_path / "generator", native, group=group).path
    critic = judge_of(generator, images)
    assert critic.network.b4.mbstd.group_size == {None: 4, 1: 1, 8: 4}[group]
    samples = write_samples(tmp_path / "s", [np.zeros((40, 40, 3), np.uint8)] * 2, SIDE, native)
    one, two = critic.judge(samples.path, read_index(samples.path), Progress()).logits
    assert one == pytest.approx(two, abs=1e-6)
    assert np.isfinite(one)


def test_labels_reach_the_discriminator(tmp_path):
    """The label of a sample is its own; without one there is no score."""
    images = write_image_set(tmp_path / "images", count=6).path
    labels = ([1.0, 0.0], [0.0, 1.0])
    records = [replace(r, label=list(labels[i % 2])) for i, r in enumerate(read_index(images))]
    write_index(images, "labelled", records, ["a", "b"])
    generator = write_critic(tmp_path / "generator", c_dim=2).path
    critic = judge_of(generator, images)
    rng = np.random.default_rng(0)
    samples = write_samples(tmp_path / "samples", crops(range(1), 1, SIDE, rng), SIDE).path
    (bare,) = read_index(samples)
    told = [replace(bare, label=label) for label in (*labels, labels[0])]
    first, second, again = critic.judge(samples, told, Progress()).logits
    assert first == pytest.approx(again, abs=1e-6)
    assert abs(first - second) > 1e-4
    with pytest.raises(DataError, match=r"images/0.png: found no label of image 'sample0'"):
        critic.judge(samples, [bare], Progress())


def test_the_mask_is_a_channel(tmp_path):
    images = write_phantom_set(tmp_path / "images").path
    records = []
    for record in read_index(images):
        write_png(images / f"mask-{record.image}", np.full((64, 64), 255, np.uint8))
        records.append(replace(record, mask=f"mask-{record.image}"))
    write_index(images, "masked", records)
    channels = Channels("rgb+mask", 4)
    critic = judge_of(write_critic(tmp_path / "generator", channels=channels).path, images)
    rng = np.random.default_rng(0)
    samples = write_samples(tmp_path / "samples", crops(range(1), 1, SIDE, rng), SIDE).path
    write_png(samples / "mask.png", np.eye(SIDE, dtype=np.uint8) * 255)
    pixels, _ = critic.sample(samples, replace(read_index(samples)[0], mask="mask.png"))
    assert np.array_equal(pixels[..., 3:], as_channel(np.eye(SIDE, dtype=bool), pixels.dtype))


def test_what_cannot_be_scored_is_refused(room, tmp_path):
    generator, images, samples = room
    big = write_samples(tmp_path / "big", [np.zeros((20, 24, 3), np.uint8)], SIDE).path
    said = r"images/0.png: found 24×20 pixels of 3 channels, expected 16×16 of 3"
    with pytest.raises(DataError, match=said):
        judge_of(generator, images).judge(big, read_index(big), Progress())
    with pytest.raises(Interrupted, match="after 16 logits"):
        judge_of(generator, images).judge(samples, read_index(samples), StopAfter(2))
    bare = shutil.copytree(generator, tmp_path / "bare")
    (bare / CRITIC).unlink()
    with pytest.raises(CheckpointError, match=r"bare: found no discriminator\.safetensors"):
        judge_of(bare, images)


def test_scores_of_a_set_name_every_sample(room, tmp_path):
    """samples.csv holds one row for each image of split train, as closest.csv does."""
    generator, images, samples = room
    records = read_index(samples)
    records[2:4] = [replace(r, split="rejected") for r in records[2:4]]
    write_index(samples, "labelled", records)
    inputs = {
        "images": as_artifact(images), "samples": as_artifact(samples),
        "generator": as_artifact(generator),
    }  # fmt: skip
    cfg = ScoreSettings(features="random", real_views=VIEWS, kid_subsets=2, closest=2, critic=True)
    extractor, cache = load_extractor("random"), FeatureCache(None)
    found = score_samples(cfg, inputs, extractor, "random", tmp_path, Progress(), cache)
    assert found["synthetic"] == 18
    kept = [r.id for r in records if r.split == TRAIN]
    for table in (TABLE, "closest.csv"):
        with (tmp_path / table).open() as stream:
            rows = list(csv.DictReader(stream))
        assert sorted(row["sample"] for row in rows) == sorted(kept)
    with (tmp_path / TABLE).open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["sample"] for row in rows] == kept, "in the order of the set"
    mean = np.mean([float(row["critic"]) for row in rows])
    assert mean == pytest.approx(found["critic_mean"], rel=1e-4)
