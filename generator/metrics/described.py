"""How the images of a set of samples were made, so that real ones are shown the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.channels import Channels
from vesselforge.data.imageset import ImageRecord, load_picture, read_index
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.documents import read_object
from vesselforge.engine.progress import Progress
from vesselforge.generator.models import read_description
from vesselforge.generator.sampling.sample_set import DESCRIPTION


def sample_records(folder: Path) -> list[ImageRecord]:
    """Return the images to score: those of split `train`, so that rejected ones do not count.

    Raises DataError when there is none."""
    found = read_index(folder, TRAIN)
    if not found:
        raise DataError(
            f"{folder}: found {len(read_index(folder))} images, none of them of split {TRAIN!r}, "
            "expected samples to score; were all rejected? loosen the filters of `pseudo_label`"
        )
    return found


def described(inputs: Inputs, progress: Progress) -> dict[str, Any]:
    """Return presentation, resolution, native_size and channels of the input `samples`.

    As the set says itself (samples.json), else as the input `generator` says, which is taken for
    the one that drew them. A set without either (labelled samples, anyone's images) is judged by
    its pixels, and a message says how: squares that are smaller than the real images are patches,
    all others whole images, for which real ones are resized to the same size. What the samples
    lost in a smaller network then counts as a difference; where the network is known it does not.
    """
    folder = inputs["samples"].path
    if (folder / DESCRIPTION).is_file():
        expected = "how `generator.sample` drew this set: draw it again"
        return read_object(folder / DESCRIPTION, expected, DataError)
    if "generator" in inputs:
        return read_description(inputs["generator"].path)
    height, width = _size(folder, sample_records(folder)[0])
    images = inputs["images"].path
    real = [_size(images, record) for record in read_index(images, TRAIN)]
    inside = all(h >= height and w >= width for h, w in real)
    patches = height == width and inside and set(real) != {(height, width)}
    progress.message(
        f"{folder.name}: no {DESCRIPTION}; real images are shown as "
        f"{'patches' if patches else 'whole images'} of {width}×{height} pixels"
    )
    return {
        "presentation": "patch" if patches else "full",
        "resolution": max(height, width),
        "native_size": None if patches else [height, width],
        "channels": Channels().to_json(),
    }


def _size(folder: Path, record: ImageRecord) -> tuple[int, int]:
    height, width = load_picture(folder, record).pixels.shape[:2]
    return height, width
