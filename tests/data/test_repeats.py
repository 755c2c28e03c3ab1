"""The same photograph twice, saved anew; and different ones that look alike."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import save
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.repeats import ALIKE, look_of, repeated
from vesselforge.data.phantoms.appearance import GENERIC
from vesselforge.data.phantoms.draw import Phantom, make_phantom

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def eyes() -> list[Phantom]:
    """Of one camera."""
    return [make_phantom(seed, 320, GENERIC) for seed in range(8)]


def saved(picture: Image.Image, quality: int) -> Image.Image:
    memory = io.BytesIO()
    picture.save(memory, format="JPEG", quality=quality)
    return Image.open(memory).convert("RGB")


def half(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)


AGAIN = {
    "quality 50": lambda picture: saved(picture, 50),
    "half": half,
    "half at quality 50": lambda picture: saved(half(picture), 50),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.1),
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_photograph_that_was_saved_anew_looks_the_same(eyes: list[Phantom], how: str) -> None:
    for eye in eyes:
        other = np.asarray(AGAIN[how](Image.fromarray(eye.image)))
        assert look_of(other) @ look_of(eye.image) > ALIKE


def test_other_eyes_of_the_camera_do_not(eyes: list[Phantom]) -> None:
    pictures = [eye.image for eye in eyes]
    pictures += [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    looks = np.stack([look_of(picture) for picture in pictures])
    likeness = looks @ looks.T - 2 * np.eye(len(looks))
    assert likeness.max() < 0.6


def test_another_visit_of_the_same_eye_does_not(eyes: list[Phantom]) -> None:
    for eye in eyes:
        picture = Image.fromarray(eye.image)
        later = picture.rotate(1.5, Image.Resampling.BICUBIC, translate=(5, -4))
        assert look_of(np.asarray(later)) @ look_of(eye.image) < 0.7


def test_a_blank_image_looks_like_no_other() -> None:
    blank = np.full((50, 60, 3), 90, np.uint8)
    assert not look_of(blank).any() and not look_of(np.zeros_like(blank)).any()


def test_border_and_light_do_not_count() -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((128, 128))
    disc = ((y - 64) ** 2 + (x - 64) ** 2 < 60**2)[..., None]

    def eye(light: float) -> Pixels:
        return ((light + rng.integers(0, 12, (128, 128, 3))) * disc).astype(np.uint8)

    assert abs(float(look_of(eye(80.0)) @ look_of(eye(160.0)))) < 0.3


def problems(root: Path, *files: tuple[str, str, Pixels]) -> list[Problem]:
    items = [Item(Path(name).stem, split, save(root / name, image)) for name, split, image in files]
    return list(
        repeated(items, [None] * len(items), [look_of(item.read_image()) for item in items])
    )


def test_the_worst_of_several_is_said(tmp_path: Path, eyes: list[Phantom]) -> None:
    image = eyes[0].image
    again = np.asarray(saved(Image.fromarray(image), 50))
    found = problems(
        tmp_path,
        ("a.png", "train", image),
        ("b.png", "validation", eyes[1].image),
        ("c.jpg", "test", again),
        ("d.png", "test", np.asarray(half(Image.fromarray(image)))),
        ("e.png", "train", np.asarray(half(Image.fromarray(eyes[2].image)))),
        ("f.png", "train", eyes[2].image),
    )
    assert [(p.id, p.severity) for p in found] == [
        ("d", "warning"), ("a", "error"), ("f", "warning"),
    ]  # fmt: skip
    assert "looks the same as" in found[1].sentence and "d.png" in found[1].sentence
    assert "train and test overlap" in found[1].sentence
    assert found[0].sentence.endswith("a duplicate") and "c.jpg" in found[0].sentence


def test_check_finds_a_re_encoded_test_image(tmp_path: Path, eyes: list[Phantom]) -> None:
    places = ["train", "train", "validation", "validation", "validation", "test"]
    made = []
    for number, split in enumerate(places):
        image = save(tmp_path / f"{number}.png", eyes[number].image)
        mask = save(tmp_path / f"{number}_mask.png", eyes[number].mask)
        made.append(Item(str(number), split, image, {"1st": mask}))
    assert check(Dataset("made", tmp_path, tuple(made))).problems == []
    copy = tmp_path / "copy.jpg"
    half(Image.fromarray(eyes[0].image)).save(copy, quality=50)
    mask = save(tmp_path / "copy_mask.png", np.asarray(half(Image.fromarray(eyes[0].mask))) > 0)
    made.append(Item("copy", "test", copy, {"1st": mask}))
    [problem] = check(Dataset("made", tmp_path, tuple(made))).problems
    assert problem.severity == "error" and str(copy) in problem.sentence
    assert problem.id == "0"  # the training image: the test stays as it is
