"""What is known to be wrong before any work starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.data.datasets import named_dataset
from vesselforge.pipeline.input_checks import check_inputs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((64, 64, 3), i, np.uint8)).save(folder / f"{i}.png")
    return folder


def config(root: Path, features: str = "random") -> PipelineConfig:
    values = {"data": {"name": "images", "root": root}, "score": {"features": features}}
    return PipelineConfig.model_validate(values)


@pytest.mark.parametrize("last", ["run", "teacher", "pseudo-labels"])
def test_images_alone_teach_no_segmenter(images: Path, tmp_path: Path, last: str) -> None:
    with pytest.raises(DataError, match=r"data\.name: images has no vessel masks.*generator") as e:
        check_inputs(config(images), tmp_path / "ws", last)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("last", ["development", "generator", "samples", "scores"])
def test_images_alone_are_enough_for_the_generator(images: Path, tmp_path: Path, last: str) -> None:
    check_inputs(config(images), tmp_path / "ws", last)


def test_scores_by_the_teacher_need_one(images: Path, tmp_path: Path) -> None:
    check_inputs(config(images, "teacher"), tmp_path / "ws", "samples")
    with pytest.raises(DataError, match=r"score\.features: teacher needs a segmenter.*random"):
        check_inputs(config(images, "teacher"), tmp_path / "ws", "scores")


def test_a_folder_is_images_alone_or_a_labelled_set(images: Path) -> None:
    assert named_dataset(str(images)).name == "images"
    (images / "masks").mkdir()
    labelled = named_dataset(str(images))
    assert labelled.name == "paired" and len(labelled) > 1
    assert not any(item.masks for item in labelled)  # which `check` calls an error
    (images / "images").mkdir()
    shutil.move(next(images.glob("*.*")), images / "masks")
    for path in images.glob("*.*"):
        path.unlink()
    with pytest.raises(DataError, match="found no image with identifier"):
        named_dataset(str(images))
