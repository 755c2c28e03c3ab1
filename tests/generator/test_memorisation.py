"""Copies are found, new images are not called copies, and the figures can be looked at."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from score_helpers import crops, picture, write_phantom_set, write_samples

from vesselforge.configs.settings import ScoreSettings
from vesselforge.engine.progress import Progress
from vesselforge.generator.metrics.closest import PAIRS, PICTURE, SHOWN, TABLE
from vesselforge.generator.metrics.extractors import load_extractor
from vesselforge.generator.metrics.memorisation import (
    Matches,
    c_t,
    copies,
    matches,
    relative_distance,
    turned_back,
    turns,
)
from vesselforge.generator.metrics.reals import Reals
from vesselforge.generator.metrics.sample_scores import score_samples
from vesselforge.generator.values import Channels

pytestmark = pytest.mark.slow

SIDE = 32


def scored(tmp_path, images, native=None):
    inputs = {
        "images": write_phantom_set(tmp_path / "images", validation=range(100, 108)),
        "samples": write_samples(tmp_path / "samples", images, SIDE, native),
    }
    settings = ScoreSettings(features="random", real_views=60)
    out = tmp_path / "out"
    out.mkdir()
    found = score_samples(settings, inputs, load_extractor("random"), out, Progress())
    return found, out


def rows_of(out):
    with (out / TABLE).open() as stream:
        return list(csv.DictReader(stream))


def test_a_generator_that_copies(tmp_path):
    rng = np.random.default_rng(1)
    images = list(crops(range(5), 20, SIDE, rng, turn=True))
    found, out = scored(tmp_path, images)
    assert found["copy_ratio"] > 0.8
    assert found["copy_expected"] == pytest.approx(3 / 61)
    assert (found["copy_held_out"], found["copy_held_out_images"]) == (60, 8)
    rows = rows_of(out)
    assert len(rows) == 20
    distances = [float(row["distance"]) for row in rows]
    assert distances == sorted(distances)
    assert sum(int(row["suspicious"]) for row in rows) == round(found["copy_ratio"] * 20)
    assert {row["image"] for row in rows} <= {f"phantom{i}" for i in range(5)}
    assert len({row["turned"] for row in rows}) > 4, "mirrored and turned copies are copies"
    with Image.open(out / PICTURE) as sheet:
        assert sheet.size == (4 * (2 * SIDE + 8), 4 * (SIDE + 8))
    assert {p.name for p in (out / PAIRS).iterdir()} == {f"{i}.png" for i in range(1, SHOWN + 1)}
    with Image.open(out / PAIRS / "3.png") as pair:
        third = images[int(rows[2]["sample"].removeprefix("sample"))]
        assert np.array_equal(np.asarray(pair)[4 : 4 + SIDE, 4 : 4 + SIDE], third)
    assert found["c_t"] < -2
    assert found["relative_distance"] < 0.5


def test_a_generator_that_draws_anew(tmp_path):
    rng = np.random.default_rng(2)
    found, _ = scored(tmp_path, list(crops(range(100, 108), 24, SIDE, rng)))
    assert found["copy_ratio"] <= 0.2
    assert abs(found["c_t"]) < 2
    assert found["relative_distance"] == pytest.approx(1, abs=0.3)


def test_whole_images(tmp_path):
    """Half of the samples are training images, one of them mirrored; the others are new."""
    small = [np.asarray(Image.fromarray(picture(s)).resize((SIDE, SIDE))) for s in range(3)]
    new = [np.asarray(Image.fromarray(picture(s)).resize((SIDE, SIDE))) for s in range(300, 303)]
    shown = [np.asarray(Image.fromarray(p).resize((64, 64))) for p in (*small, *new)]
    shown[0] = np.ascontiguousarray(shown[0][:, ::-1])
    found, out = scored(tmp_path, shown, native=[64, 64])
    nearest = {row["sample"]: row for row in rows_of(out)}
    for i in range(3):
        assert nearest[f"sample{i}"]["image"] == f"phantom{i}"
        assert nearest[f"sample{i}"]["suspicious"] == "1"
    assert nearest["sample0"]["turned"] == "1"
    assert found["copy_ratio"] >= 0.5
    assert found["copy_expected"] == 1 / 9, "of 8 held-out images the nearest is the threshold"
    assert found["training_views"] == 5 * 8


def test_expected_share_is_exact():
    """Samples and held-out views of one distribution: on average the expected share, for any n."""
    rng = np.random.default_rng(0)
    zeros = np.zeros(1, dtype=int)
    for n in (4, 30, 256):
        found = [
            copies(Matches(rng.random(20), zeros, zeros), Matches(rng.random(n), zeros, zeros), n)
            for _ in range(1000)
        ]
        ratios, expected = [f["copy_ratio"] for f in found], found[0]["copy_expected"]
        assert np.mean(ratios) == pytest.approx(expected, abs=4 * np.std(ratios) / 1000**0.5)
    assert expected == 12 / 257


def test_c_t_is_the_z_score_of_a_count_of_pairs():
    zeros = np.zeros(1, dtype=int)
    near, far = (Matches(np.array(d), zeros, zeros) for d in ([1.0, 2.0, 3.0], [2.5, 4.0]))
    pairs = sum(a > b for a in near.distances for b in far.distances)
    assert c_t(near, far, [0, 1]) == pytest.approx((pairs - 3) / (6 * 6 / 12) ** 0.5)
    places = [2 / 3, 1]  # of held-out images, here of one view each: smaller than 3, and than all
    expected = (1 - np.mean(places) - 0.5) / (5 / 36) ** 0.5
    assert c_t(near, far, [4, 4]) == pytest.approx(expected)
    assert relative_distance(near, far) == 2.0 / 3.25
    assert relative_distance(near, Matches(np.zeros(3), zeros, zeros)) is None


def test_turns():
    square, wide = torch.arange(18).reshape(2, 3, 3), torch.arange(24).reshape(2, 3, 4)
    for image, count in ((square, 8), (wide, 4)):
        found = turns(image)
        assert len({tuple(v.flatten().tolist()) for v in found}) == count
        for version, turned in enumerate(found):
            assert torch.equal(turned_back(turned, version), image)


def test_matches_are_the_nearest_of_all_versions():
    rng = np.random.default_rng(0)
    features, training = torch.from_numpy(rng.normal(size=(3, 2, 4))), torch.randn(5, 4).double()
    found = matches(features, training)
    for i in range(3):
        table = torch.cdist(features[i], training)
        version, view = divmod(int(table.argmin()), 5)
        assert (found.turned[i], found.views[i]) == (version, view)
        assert found.distances[i] == pytest.approx(float(table.min()))


def test_crops_are_searched_densely_within_bounds(tmp_path, monkeypatch):
    images = write_phantom_set(tmp_path / "images")
    facts = {
        "presentation": "patch",
        "resolution": SIDE,
        "native_size": None,
        "channels": vars(Channels()),
    }
    reals = Reals(images.path, facts)
    assert len(reals.places) == 5 * 9 * 9, "64 pixels, crops of 32, every 4 pixels"
    place = reals.places[7]
    expected = picture(place.image)[place.y : place.y + SIDE, place.x : place.x + SIDE]
    assert np.array_equal(reals.view(place).permute(1, 2, 0).numpy(), expected)
    monkeypatch.setattr("vesselforge.generator.metrics.reals.MOST_CROPS", 60)
    assert len(Reals(images.path, facts).places) == 5 * 3 * 3, "every 16 pixels"


def test_views_that_are_alike_are_no_evidence_once_images_count():
    """Views of one image share most of their distance: the plain test cries wolf, by image not."""
    rng, zeros = np.random.default_rng(3), np.zeros(1, dtype=int)
    plain, careful, images = [], [], np.repeat(np.arange(5), 30).tolist()
    for _ in range(100):
        alike = np.repeat(rng.normal(size=5), 30) + 0.1 * rng.normal(size=150)
        held_out = Matches(alike, zeros, zeros)
        samples = Matches(rng.normal(size=100) * 1.01**0.5, zeros, zeros)
        plain.append(abs(c_t(samples, held_out, range(150))) > 1.96)
        careful.append(abs(c_t(samples, held_out, images)) > 1.96)
    assert np.mean(plain) > 0.4
    assert np.mean(careful) < 0.09


def test_of_which_image_a_drawn_crop_is(tmp_path):
    """Its pixels are to be found there and in no other."""
    images = write_phantom_set(tmp_path / "images")
    facts = {"presentation": "patch", "resolution": SIDE, "native_size": None}
    reals = Reals(images.path, facts | {"channels": vars(Channels())})
    crops_of, owners = reals.drawn(reals.training, 70, 3)
    drawn = list(crops_of)
    assert len(owners) == len(drawn) == 70
    for i in (0, 1, 63, 64, 69):
        crop = drawn[i].permute(1, 2, 0).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(picture(owners[i]), crop.shape)
        assert (windows[:, :, 0] == crop).all(axis=(2, 3, 4)).any()


def test_without_held_out_images_there_is_no_ratio(tmp_path):
    images = write_phantom_set(tmp_path / "images", validation=())
    samples = write_samples(
        tmp_path / "samples", crops(range(5), 4, SIDE, np.random.default_rng(0)), SIDE
    )
    settings = ScoreSettings(features="random", real_views=8)
    inputs = {"images": images, "samples": samples}
    found = score_samples(settings, inputs, load_extractor("random"), tmp_path, Progress())
    assert not {"copy_ratio", "c_t", "relative_distance"} & found.keys()
    assert rows_of(tmp_path)[0]["suspicious"] == ""
