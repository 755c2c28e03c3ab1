"""The sampling stage: every image depends on its own seed alone, whatever the settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, parity
from PIL import Image
from small_generators import write_generator

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.load import validate
from vesselforge.configs.settings import SampleSettings
from vesselforge.data.imageset import load_image, load_mask, load_picture, read_index
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.sampling.sample_set import sample
from vesselforge.generator.sampling.sampler import Sampler, latents_of
from vesselforge.generator.trained import load_generator
from vesselforge.generator.values import Channels, to_network, to_uint8

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["patch", "full"])
def trained(request, tmp_path_factory):
    size = None if request.param == "patch" else (40, 48)
    folder = write_generator(tmp_path_factory.mktemp(request.param), native_size=size)
    return {"generator": as_artifact(folder, "generator.train")}


def made(folder: Path, out: Path, progress=None, **settings) -> dict[str, str]:
    inputs = {"generator": as_artifact(folder, "generator.train")}
    sample(SampleSettings(**{"count": 7, **settings}), inputs, out, progress or Progress())
    return content(out)


def run(trained, out, progress=None, **settings):
    return made(trained["generator"].path, out, progress, **settings)


def pixels(out: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(p)) for p in sorted((out / "images").iterdir())]


def test_neither_batch_nor_interruption_matters(trained, tmp_path):
    whole = run(trained, tmp_path / "4", batch=4)
    assert run(trained, tmp_path / "1", batch=1) == whole
    with pytest.raises(Interrupted, match="4 of 7"):
        run(trained, tmp_path / "parts", StopAfter(3), batch=2)
    assert len(list((tmp_path / "parts" / "images").glob("*"))) == 4  # whole ones, nothing else
    kept = next((tmp_path / "parts" / "images").glob("*.png"))
    before = kept.stat().st_mtime_ns
    assert run(trained, tmp_path / "parts", batch=3) == whole
    assert kept.stat().st_mtime_ns == before
    assert "grid.png" in whole


def test_images_by_seed(trained, tmp_path):
    run(trained, tmp_path / "a", seed=10)
    run(trained, tmp_path / "b", seed=12, count=2)
    for record in read_index(tmp_path / "b"):
        there, here = (tmp_path / name / record.image for name in "ab")
        assert there.read_bytes() == here.read_bytes()


def test_the_set_reads_like_any_other(trained, tmp_path):
    run(trained, tmp_path)
    records = read_index(tmp_path, "train")
    assert len(records) == 7
    assert len({r.id for r in records}) == 7
    image = load_image(tmp_path, records[0])
    full = records[0].fov is not None
    assert image.image.shape == ((40, 48, 3) if full else (16, 16, 3))
    sheet = Image.open(tmp_path / "grid.png")
    assert sheet.size == (7 * (19 if full else 16), 16)  # pictures keep their shape
    facts = json.loads((tmp_path / "samples.json").read_text())
    assert facts["settings"]["psi"] == 0.7 and "batch" not in facts["settings"]


def test_psi_zero_is_one_image(trained, tmp_path):
    run(trained, tmp_path, psi=0.0, count=3)
    found = pixels(tmp_path)
    assert all(np.array_equal(p, found[0]) for p in found)


def test_labels(tmp_path):
    labels = np.eye(3)[[0, 0, 0, 2]].tolist()
    folder = write_generator(tmp_path / "g", c_dim=3, labels=labels)
    by_class = {}
    for label in (0, 2):
        out = tmp_path / str(label)
        made(folder, out, count=2, label=label)
        by_class[str(label)] = [p.tobytes() for p in pixels(out)]
    assert by_class["2"] != by_class["0"]
    drawn = tmp_path / "drawn"
    whole = made(folder, drawn, count=12, batch=5)
    told = [record.label for record in read_index(drawn)]
    index = told.index([0, 0, 1])
    made(folder, tmp_path / "alone", seed=1000 + index, count=1, label=2)
    name = f"images/seed{1000 + index:08d}.png"
    assert content(tmp_path / "alone")[name] == whole[name]
    sampler = Sampler(load_generator(folder)[0], labels=labels)
    share = sampler.labels(range(2000)).mean(0).tolist()
    assert share[1] == 0 and share[2] == pytest.approx(0.25, abs=0.04)  # as in the training images


@pytest.mark.parametrize(
    ("c_dim", "settings", "message"),
    [
        (0, {"label": 1}, "label: found 1, but this generator is unconditional"),
        (3, {"label": 3}, r"no class 3; this generator has c_dim 3, expected a class from 0 to 2"),
        (3, {"label": -1}, "no class -1"),
        (3, {}, "does not say which labels"),
    ],
)
def test_what_a_generator_cannot_do(tmp_path, c_dim, settings, message):
    folder = write_generator(tmp_path / "g", c_dim=c_dim)
    with pytest.raises(ConfigError, match=message):
        made(folder, tmp_path / "out", **settings)
    assert not list((tmp_path / "out").glob("*"))


def test_seeds_that_cannot_be():
    with pytest.raises(ConfigError, match="seeds have 32 bits"):
        validate(SampleSettings, {"seed": 2**32 - 10}, "test")


@pytest.mark.parametrize(
    ("channels", "shape", "sheet"),
    [
        (Channels("grey", 1), (20, 20, 1), (16, 16)),
        (Channels("rgb", 3), (20, 20, 3), (16, 16)),
        (Channels("rgb+mask", 4), (20, 20, 3), (32, 16)),
    ],
)
def test_images_of_any_channels(tmp_path, channels, shape, sheet):
    folder = write_generator(tmp_path / "g", channels, native_size=(20, 20))
    whole = made(folder, tmp_path / "out", count=3, psi=2.0)
    record = read_index(tmp_path / "out")[0]
    found = load_picture(tmp_path / "out", record)
    assert found.pixels.shape == shape and found.bits == 8
    assert Image.open(tmp_path / "out" / "grid.png").size == (3 * sheet[0], sheet[1])
    if channels.kind == "rgb+mask":
        network, _ = load_generator(folder)
        drawn = Sampler(network, psi=2.0).draw([1000])[0, 3] > 0
        mask = load_mask(tmp_path / "out", record)
        assert abs(mask.mean() - drawn.float().mean().item()) < 0.1
    again = tmp_path / "again"
    with pytest.raises(Interrupted):
        made(folder, again, StopAfter(2), count=3, psi=2.0, batch=1)
    assert made(folder, again, count=3, psi=2.0, batch=1) == whole


MEMORY = """
import resource
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from generator_helpers import as_artifact
from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.progress import Progress
from vesselforge.generator.sampling.sample_set import sample

class Watch(Progress):
    def update(self, done, total, unit="", **stats):
        if done in (40, 160):
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

folder, out = map(Path, sys.argv[2:])
settings = SampleSettings(count=160, batch=8)
sample(settings, {"generator": as_artifact(folder, "generator.train")}, out, Watch())
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    folder = write_generator(tmp_path / "g", resolution=128)
    here = str(ROOT / "tests" / "helpers")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, here, str(folder), str(tmp_path / "out")],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=True,
    )  # fmt: skip
    early, late = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    # 120 images of 128 x 128 are 6 MB as bytes and 24 MB as floats; 3 MB more are the allocator's.
    assert (late - early) * unit < 6e6, f"{(late - early) * unit / 1e6:.1f} MB more"


def test_latents_are_the_published_ones():
    assert np.array_equal(latents_of(range(4), 8).numpy(), parity("data_order")["seeds/z_dim8"])
    assert torch.equal(latents_of([3, 1], 8), latents_of(range(4), 8)[[3, 1]])


def test_pixel_rules():
    reference = parity("data_order")
    x = torch.from_numpy(reference["uint8/float"])
    assert np.array_equal(to_uint8(x).numpy(), reference["uint8/generate_and_metrics"])
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(to_network(values, torch.device("cpu"))).numpy(), values)
