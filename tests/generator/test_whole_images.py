"""Folders of any images, from files to samples: conditional, of 16 bits, or with a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generator_helpers import as_artifact, tiny

from vesselforge.configs.settings import DataSettings, PrepareSettings, SampleSettings
from vesselforge.data.imageset import (
    ImageRecord,
    load_image,
    load_picture,
    read_index,
    write_index,
    write_png,
)
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.prepare import prepare
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Progress
from vesselforge.generator.sampling.sample_set import sample
from vesselforge.generator.trained import read_description
from vesselforge.generator.training.train import train

RNG = np.random.default_rng(0)


def prepared(tmp_path: Path, count: int, dtype: Any) -> Artifact:
    """A prepared set of two classes with images of such channels, 20 by 24 pixels."""
    for name in ("cats/1", "cats/2", "dogs/1", "dogs/2", "dogs/3"):
        pixels = RNG.integers(0, np.iinfo(dtype).max, (20, 24, count), dtype=dtype)
        write_png(tmp_path / "photos" / f"{name}.png", pixels)
    data = DataSettings(name="images", root=tmp_path / "photos", validation_share=0)
    (tmp_path / "set").mkdir()
    prepare(PrepareSettings(data=data, part="development"), {}, tmp_path / "set", Progress())
    return as_artifact(tmp_path / "set")


def drawn(tmp_path: Path, images: Artifact, **changes: Any) -> tuple[Path, list[ImageRecord]]:
    """Samples of a generator trained for two steps."""
    for name in ("generator", "samples"):
        (tmp_path / name).mkdir()
    settings = tiny(2, snapshot_images=0, **changes)
    train(settings, {"images": images}, tmp_path / "generator", Progress())
    generator = as_artifact(tmp_path / "generator", "generator.train")
    sample(
        SampleSettings(count=3), {"generator": generator}, tmp_path / "samples",
        Progress(),
    )  # fmt: skip
    return tmp_path / "samples", read_index(tmp_path / "samples")


@pytest.mark.parametrize(
    ("channels", "count", "dtype"), [("rgb", 3, np.uint8), ("grey", 1, np.uint16)]
)
def test_channels_and_labels(tmp_path: Path, channels: str, count: int, dtype: Any) -> None:
    images = prepared(tmp_path, count, dtype)
    folder, records = drawn(tmp_path, images, channels=channels, labels=True, presentation="full")
    description = read_description(tmp_path / "generator")
    assert description["generator"]["img_channels"] == count
    assert description["generator"]["c_dim"] == 2
    assert description["classes"] == ["cats", "dogs"]
    for record in records:
        found = load_picture(folder, record).pixels
        assert found.shape == (20, 24, count)  # as large as the originals
        assert found.dtype == np.uint8
        assert record.label in ([1, 0], [0, 1])


def test_image_and_mask(tmp_path: Path) -> None:
    records = []
    for i in range(4):
        pixels = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        write_png(tmp_path / f"set/{i}.png", pixels)
        write_png(tmp_path / f"set/{i}-mask.png", ((pixels[..., 0] > 200) * 255).astype(np.uint8))
        records.append(ImageRecord(f"{i}", TRAIN, f"{i}.png", mask=f"{i}-mask.png"))
    write_index(tmp_path / "set", "test", records)
    folder, made = drawn(tmp_path, as_artifact(tmp_path / "set"), channels="rgb+mask")
    for record in made:
        loaded = load_image(folder, record)
        assert loaded.image.shape == (16, 16, 3)
        assert loaded.target is not None
        assert set(np.unique(loaded.target)) <= {0, 255}
