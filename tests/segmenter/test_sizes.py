"""A training that begins with a model shows it images as large as those that the model knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmenter_helpers import TINY, artifact, members_of, phantom_set, trained

from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.model_files import read_description, save_model
from vesselforge.segmenter.training.fit import train
from vesselforge.segmenter.training.sizes import Sizes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that knows eyes of 64 pixels."""
    room = tmp_path_factory.mktemp("start")
    images = phantom_set(room / "images", {"train": 2, "validation": 1})
    out = trained(room / "model", images)
    return Artifact(out, {"kind": "segmenter.start", "inputs": {"model": "x"}})


def large(folder: Path, side: int) -> Path:
    """The same images, enlarged."""
    phantom_set(folder, {"train": 2, "validation": 1})
    for path in folder.glob("*/*.png"):
        with Image.open(path) as image:
            image.resize((side, side)).save(path)
    return folder


def loaded(folder: Path) -> list[LoadedImage]:
    return [load_image(folder, record) for record in read_index(folder)]


def test_large_photographs_are_shown_at_the_width_that_the_model_knows(
    start: Artifact, tmp_path: Path
) -> None:
    images, sizes = loaded(large(tmp_path / "large", 160)), Sizes(start)
    assert [sizes.of(image) for image in images] == [pytest.approx(64 / 160, rel=0.05)] * 3
    shown = sizes.shown(images, images)
    assert all(abs(side - 64) <= 2 for image in shown for side in image.image.shape[:2])
    for small, image in zip(shown, images, strict=True):
        assert small.target is not None and image.target is not None
        assert small.target.mean() == pytest.approx(image.target.mean(), rel=0.05)
    # What is ignored stays ignored, and synthetic images are as large as the photographs.
    ignored = replace(images[0], id="made", weight=np.where(images[0].fov, 255, 0).astype(np.uint8))
    (made,) = sizes.shown([ignored], images)
    assert made.weight is not None and made.weight.shape == made.fov.shape
    assert abs(made.fov.shape[0] - 64) <= 2
    assert set(np.unique(made.weight)) == {0, 255}


def test_photographs_as_large_as_it_knows_are_left_alone(start: Artifact, tmp_path: Path) -> None:
    images, sizes = loaded(phantom_set(tmp_path / "same", {"train": 2})), Sizes(start)
    assert all(a is b for a, b in zip(sizes.shown(images, images), images, strict=True))


@pytest.mark.parametrize("inputs", [{"images": "i"}, {"images": "i", "start": "s"}])
def test_a_second_training_shows_them_as_its_first_did(
    start: Artifact, tmp_path: Path, inputs: dict[str, str]
) -> None:
    image = loaded(large(tmp_path / "large", 160))[0]
    first = Artifact(start.path, {"kind": "segmenter.train", "inputs": inputs})
    assert (Sizes(first).of(image) != 1) == ("start" in inputs)
    assert Sizes(None).of(image) == 1


def test_the_trained_model_says_at_which_size_it_was_shown_them(
    start: Artifact, tmp_path: Path
) -> None:
    folder, out = large(tmp_path / "large", 160), tmp_path / "out"
    out.mkdir()
    settings = TINY.model_copy(update={"components": True, "threshold_on": "development"})
    train(settings, {"images": artifact(folder), "start": start}, out, Progress())
    known = read_description(out).magnification
    assert known is not None and known.fov_width == pytest.approx(64, rel=0.1)
    assert json.loads((out / "metrics.json").read_text())["validation"]["f1"] > 0


def test_a_model_that_does_not_know_its_magnification_is_shown_them_as_they_are(
    start: Artifact, tmp_path: Path
) -> None:
    save_model(tmp_path / "old", members_of(start.path), 0.5)
    old = Sizes(Artifact(tmp_path / "old", start.manifest))
    assert old.of(loaded(large(tmp_path / "large", 160))[0]) == 1
