"""Sheets of samples: what is on them, at which size, and what is never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vesselforge.configs.study import StudyConfig
from vesselforge.data.imageset import LoadedImage
from vesselforge.flows.compare import compare_ratios
from vesselforge.pipeline.study.schema import RESULTS, read_results
from vesselforge.pipeline.study.study_pictures import CELL_PX, GAP_PX, GREY, sheet

pytestmark = pytest.mark.slow

Build = Callable[..., StudyConfig]


def loaded(height: int, width: int, seed: int = 0) -> LoadedImage:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    target = random.integers(0, 256, (height, width)).astype(np.uint8)
    return LoadedImage(f"{seed}", image, target, np.ones((height, width), bool), {})


def test_patches_are_enlarged_without_smoothing_above_their_labels() -> None:
    images = [loaded(64, 64, seed) for seed in range(3)]

    pixels, size = sheet(images)

    assert size == "64×64 pixels each, enlarged 3 times."
    assert pixels.shape == (2 * 192 + GAP_PX, 3 * 192 + 2 * GAP_PX, 3)
    for number, one in enumerate(images):
        left = number * (192 + GAP_PX)
        assert (pixels[:192:3, left : left + 192 : 3] == one.image).all()
        assert (pixels[2:192:3, left + 1 : left + 192 : 3] == one.image).all()
        label = pixels[192 + GAP_PX :: 3, left : left + 192 : 3]
        assert one.target is not None
        assert (label == one.target[..., None]).all()
    assert (pixels[192 : 192 + GAP_PX] == GREY).all()


@pytest.mark.parametrize(
    ("shape", "cell", "said"),
    [
        ((128, 128), (128, 128), "128×128 pixels each."),
        ((192, 192), (192, 192), "192×192 pixels each."),
        ((584, 565), (192, 186), "565×584 pixels each, shown smaller."),
        ((30, 50), (90, 150), "50×30 pixels each, enlarged 3 times."),
    ],
)
def test_no_image_is_larger_than_a_cell(
    shape: tuple[int, int], cell: tuple[int, int], said: str
) -> None:
    pixels, size = sheet([loaded(*shape), loaded(*shape)])
    assert max(cell) <= CELL_PX and size == said
    assert pixels.shape == (2 * cell[0] + GAP_PX, 2 * cell[1] + GAP_PX, 3)


def test_a_study_shows_its_sources_but_the_real_images_of_none(
    here: Any, tiny_study: Build, tmp_path: Path
) -> None:
    config = tiny_study(
        sources={
            "drawn": {"kind": "phantom", "size": 64},
            "turned": {"kind": "phantom", "size": 64, "turned_masks": True},
            "rest": "unlabelled",
        },
        arms={
            "real_images": [4],
            "seeds": [1],
            "named": {
                "P": {"source": "drawn", "count": 5},
                "N": {"source": "turned", "count": 2},
                "R2": {"source": "rest"},
            },
        },
        data={"phantom": {"train": 6, "validation": 2, "test": 2, "size": 64, "seed": 0}},
        synthetic={"pool": 3, "reseed": "all"},
        pseudo_label={"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    )
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "samples-gone.png").touch()  # of a source that is no more

    made: Any = compare_ratios(config, workspace=str(tmp_path))

    folder = Path(made["run"])
    results = read_results(folder / RESULTS)
    assert sorted(p.name for p in folder.glob("samples-*")) == [
        "samples-drawn.png",
        "samples-turned.png",
    ]
    shown = {samples.source: samples for samples in results.samples}
    assert shown["rest"].picture == "" and shown["rest"].caption.startswith("these are real")
    assert shown["drawn"].caption == (
        "drawn, 4 real images, seed 1: the first 6 of the 6 that were kept, above their own masks. "
        "64×64 pixels each, enlarged 3 times."
    )
    assert "their own masks, turned by 180°" in shown["turned"].caption
    for name, turn in (("drawn", False), ("turned", True)):
        with Image.open(folder / f"samples-{name}.png") as picture:
            pixels = np.asarray(picture).astype(int)
        image, label = pixels[:192, :192], pixels[192 + GAP_PX :, :192, 0] > 127
        if turn:
            label = label[::-1, ::-1]
        assert 0 < label.mean() < 0.5
        # Vessels are darker than the ground in green.
        assert image[label][:, 1].mean() < image[~label & (image[..., 1] > 0)][:, 1].mean()

    given = {one.source: one for one in results.synthetic}
    assert given["rest"].photographs
    assert (given["rest"].drawn, given["rest"].realism, given["rest"].in_range) == (2, None, None)
    drawn = given["drawn"]
    assert (drawn.origin, drawn.drawn) == ("drawn, 4 real images, seed 1", 6)
    assert drawn.realism is not None and drawn.realism.kid_std is not None
    assert drawn.realism.kid_floor_std is not None and drawn.realism.distance is not None
    assert shown["drawn"].nearest == "nearest-drawn.png" and shown["rest"].nearest == ""
    assert (folder / "nearest-drawn.png").is_file()
    assert drawn.in_range is not None and 0 <= drawn.in_range <= 6
