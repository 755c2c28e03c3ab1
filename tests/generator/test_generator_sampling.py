"""The sampling stage: every image depends on its own seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, parity, tiny, write_image_set
from PIL import Image

from configs.settings import SampleSettings
from data.imageset import load_image, read_index
from data.progress import Interrupted, Progress
from generator.grids import grid_of, latents
from generator.sampling import sample
from generator.training import train
from generator.views import to_network, to_uint8


@pytest.fixture(scope="module", params=["patch", "full"])
def trained(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    images = write_image_set(tmp_path_factory.mktemp("images"))
    train(tiny(steps=2, presentation=request.param), {"images": images}, out, Progress())
    return {"generator": as_artifact(out, "generator.train")}


def run(trained, out, progress=None, **settings):
    sample(SampleSettings(**{"count": 7, **settings}), trained, out, progress or Progress())
    return content(out)


def test_neither_batch_nor_interruption_matters(trained, tmp_path):
    whole = run(trained, tmp_path / "4", batch=4)
    assert run(trained, tmp_path / "1", batch=1) == whole
    with pytest.raises(Interrupted, match="4 of 7"):
        run(trained, tmp_path / "parts", StopAfter(3), batch=2)
    kept = next((tmp_path / "parts" / "images").glob("*.png"))
    before = kept.stat().st_mtime_ns
    assert run(trained, tmp_path / "parts", batch=3) == whole
    assert kept.stat().st_mtime_ns == before
    assert "grid.png" in whole


def test_images_by_seed(trained, tmp_path):
    run(trained, tmp_path / "a", seed=10)
    run(trained, tmp_path / "b", seed=12, count=2)
    for record in read_index(tmp_path / "b"):
        assert (tmp_path / "a" / record.image).read_bytes() == (
            tmp_path / "b" / record.image
        ).read_bytes()


def test_the_set_reads_like_any_other(trained, tmp_path):
    run(trained, tmp_path)
    records = read_index(tmp_path, "train")
    assert len(records) == 7
    assert len({r.id for r in records}) == 7
    image = load_image(tmp_path, records[0])
    full = records[0].fov is not None
    assert image.image.shape == ((40, 40, 3) if full else (16, 16, 3))
    assert image.fov.mean() == (pytest.approx(np.pi / 4, abs=0.05) if full else 1)


def test_psi_zero_is_one_image(trained, tmp_path):
    run(trained, tmp_path, psi=0.0, count=3)
    pixels = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "images").iterdir())]
    assert all(np.array_equal(p, pixels[0]) for p in pixels)


def test_latents_are_the_published_ones():
    assert np.array_equal(latents(0, 4, 8).numpy(), parity("data_order")["seeds/z_dim8"])


def test_pixel_rules():
    reference = parity("data_order")
    x = torch.from_numpy(reference["uint8/float"])
    assert np.array_equal(to_uint8(x).numpy(), reference["uint8/generate_and_metrics"])
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(to_network(values, torch.device("cpu"))).numpy(), values)


def test_grid_places_images_in_rows():
    images = np.zeros((3, 3, 512, 512), np.uint8) + np.uint8([[1], [2], [3]])[:, :, None, None]
    sheet = grid_of(images)
    assert sheet.shape == (1024, 1024, 3)
    assert sheet[0, 0, 0] == 1
    assert sheet[0, 512, 0] == 2
    assert sheet[512, 0, 0] == 3
    assert sheet[512, 512, 0] == 0
