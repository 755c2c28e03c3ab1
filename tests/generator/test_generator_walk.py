"""Contact sheets, folders of chosen seeds, and walks through latent space."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, write_image_set
from PIL import Image
from small_generators import write_generator

from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.configs.settings import SampleSettings
from vesselforge.data.imageset import read_index
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.sampling.sample_set import draw_album, sample
from vesselforge.generator.sampling.sampler import Sampler, pictures, sample_grid
from vesselforge.generator.sampling.walk import path_in_w, walk
from vesselforge.generator.trained import load_generator
from vesselforge.generator.values import Channels

# Sheets.


def plane(value: int) -> np.ndarray:
    return np.full((1, 1, 16, 16), value)


def test_pictures_of_any_channels():
    grey = pictures(plane(7).astype(np.uint8))
    assert grey.shape == (1, 3, 16, 16) and (grey == 7).all()
    masked = pictures(np.concatenate([plane(i) for i in (1, 2, 3, 4)], axis=1).astype(np.uint8))
    assert masked.shape == (1, 3, 16, 32)
    assert masked[0, :, 0, ::16].T.tolist() == [[1, 2, 3], [4, 4, 4]]


def test_training_sheets(tmp_path):
    network, _ = load_generator(write_generator(tmp_path, c_dim=3))
    labels = [[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]
    by_class, by_label = sample_grid(network, 0), sample_grid(network, 0, labels)
    assert by_class.shape == by_label.shape == (4 * 16, 8 * 16, 3)
    row = sample_grid(network, 0, labels[:1])
    assert np.array_equal(by_class[16:32], row[16:32])  # the second row shows class 1
    assert np.array_equal(by_label[:16], row[:16])
    assert not np.array_equal(by_label[16:32], row[16:32])


# Folders of chosen seeds.


def album(folder, out, seeds, progress=None, grid=False, **settings):
    chosen = SampleSettings(**settings)
    return draw_album(folder, out, seeds, chosen, progress or Progress(), grid)


def test_an_album_draws_what_the_stage_draws_and_grows(tmp_path):
    folder = write_generator(tmp_path / "g", native_size=(20, 24))
    album(folder, tmp_path / "a", [1000, 1002], grid=True)
    stage = {"generator": as_artifact(folder, "generator.train")}
    sample(SampleSettings(count=3), stage, tmp_path / "stage", Progress())
    theirs, ours = content(tmp_path / "stage"), content(tmp_path / "a")
    assert ours["seed00001002.png"] == theirs["images/seed00001002.png"]
    before = (tmp_path / "a" / "seed00001000.png").stat().st_mtime_ns
    found = album(folder, tmp_path / "a", [1000, 1001, 7], batch=1)
    assert found["seeds"] == "7,1000-1002"
    assert (tmp_path / "a" / "seed00001000.png").stat().st_mtime_ns == before
    assert [r.image for r in read_index(tmp_path / "a")] == [
        "seed00000007.png", "seed00001000.png", "seed00001001.png", "seed00001002.png",
    ]  # fmt: skip
    assert json.loads((tmp_path / "a" / "samples.json").read_text()) == found


def test_an_album_never_mixes_two_ways_of_drawing(tmp_path):
    folder = write_generator(tmp_path / "g", Channels("rgb+mask", 4))
    out = tmp_path / "a"
    album(folder, out, range(3), grid=True)
    before = content(out)
    with pytest.raises(WorkspaceError, match=r"another settings \(.*0\.7.*, now .*1\.0"):
        album(folder, out, [5], psi=1.0)
    other = write_generator(tmp_path / "h", Channels("rgb+mask", 4), resolution=32)
    with pytest.raises(WorkspaceError, match="drawn with another generator"):
        album(other, out, [5])
    (out / "samples.json").rename(out / "aside")
    (out / "index.json").rename(out / "aside2")
    with pytest.raises(WorkspaceError, match="did not make"):
        album(folder, out, [5])
    (out / "aside").rename(out / "samples.json")
    (out / "aside2").rename(out / "index.json")
    assert content(out) == before


def test_an_album_spares_the_sets_of_others(tmp_path):
    folder = write_generator(tmp_path / "g")
    prepared = write_image_set(tmp_path / "set").path
    stage = {"generator": as_artifact(folder, "generator.train")}
    sample(SampleSettings(count=1), stage, tmp_path / "stage", Progress())
    for other in (prepared, tmp_path / "stage"):
        before = content(other)
        with pytest.raises(WorkspaceError, match="did not make"):
            album(folder, other, [1])
        assert content(other) == before


def test_an_interrupted_album_goes_on_and_is_guarded(tmp_path):
    folder, out = write_generator(tmp_path / "g"), tmp_path / "a"
    with pytest.raises(Interrupted, match="2 of 4"):
        album(folder, out, range(4), StopAfter(2), batch=2)
    with pytest.raises(WorkspaceError, match="another settings"):
        album(folder, out, range(4), psi=0.1, batch=2)
    album(folder, out, range(4), grid=True, batch=2)
    album(folder, tmp_path / "b", range(4), grid=True)
    assert content(out) == content(tmp_path / "b")


# Walks.


def test_a_walk_passes_its_seeds_and_closes(tmp_path):
    network, _ = load_generator(write_generator(tmp_path))
    sampler = Sampler(network, psi=0.8)
    ws = path_in_w(sampler, [3, 1, 4], 60)
    assert ws.shape == (60, network.num_ws, 8)
    torch.testing.assert_close(ws[::20], sampler.styles([3, 1, 4]), rtol=1e-4, atol=1e-5)
    steps = (torch.roll(ws, -1, 0) - ws).flatten(1).norm(dim=1)
    assert steps.max() < 5 * steps.median()  # no jump, not from the last to the first either
    still = path_in_w(sampler, [3], 4)
    torch.testing.assert_close(still, sampler.styles([3]).expand(4, -1, -1))


def film(folder, out, seeds=(0, 1), frames=6, progress=None):
    return walk(folder, out, list(seeds), frames, SampleSettings(), progress or Progress())


def test_a_gif(tmp_path):
    folder = write_generator(tmp_path / "g", Channels("rgb+mask", 4), native_size=(20, 40))
    made = film(folder, tmp_path / "w.gif", seeds=range(4))
    with Image.open(tmp_path / "w.gif") as picture:
        assert picture.n_frames == 6
        assert picture.size == (made["width"], made["height"]) == (2 * 32, 16)
        assert picture.info["duration"] == 30 and picture.info["loop"] == 0
    again = tmp_path / "again.gif"
    film(folder, again, seeds=range(4))
    assert again.read_bytes() == (tmp_path / "w.gif").read_bytes()


def test_gif_frames_look_like_the_samples(tmp_path):
    folder = write_generator(tmp_path / "g", resolution=32)
    film(folder, tmp_path / "w.gif", seeds=[0, 1], frames=2)
    network, _ = load_generator(folder)
    sampler = Sampler(network, psi=0.7)
    truth = (sampler.draw([0]).clamp(-1, 1)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    with Image.open(tmp_path / "w.gif") as picture:
        seen = np.asarray(picture.convert("RGB")).astype(float)
    assert np.abs(seen - truth).mean() < 25  # 256 colours for random ones
    assert np.corrcoef(seen.ravel(), truth.ravel())[0, 1] > 0.95


def test_an_interrupted_walk_leaves_what_was_there(tmp_path):
    folder, out = write_generator(tmp_path / "g"), tmp_path / "w.gif"
    out.write_bytes(b"earlier")
    with pytest.raises(Interrupted, match="frame 3 of 6"):
        film(folder, out, progress=StopAfter(4))
    assert out.read_bytes() == b"earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g", "w.gif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "w.avi"}, r"found the ending \.avi, expected \.gif"),
        ({"seeds": range(9)}, "--frames 6: fewer than the 9 seeds of the walk"),
    ],
)
def test_walks_that_cannot_be(tmp_path, options, message):
    options = dict(options)
    out = tmp_path / options.pop("out", "w.gif")
    with pytest.raises(ConfigError, match=message):
        film(tmp_path, out, **options)
