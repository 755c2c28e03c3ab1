"""Time of scoring a test set with every metric: `python -m benchmarks.scoring`.

Twenty images of 584×565 like DRIVE's, or the dataset that is named, each with a noisy probability
map, are scored inside the field of view and on the whole image, with intervals over images. Two of
them are enlarged to 3504×3390 and scored as well: `slower` is how many times as long a pixel takes
there, 1 where nothing grows faster than the image.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy import ndimage

from vesselforge.data.datasets import named_dataset
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.segmenter.metrics.scores import METRICS, Prediction, Regions, score_set

SHAPE = (584, 565)
SEED = 0
FACTOR = 6
"""3504 pixels a side, as common cameras have."""
Image = tuple[NDArray[np.bool_], NDArray[np.bool_]]
Case = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]


def phantoms(count: int) -> list[Image]:
    """(reference, field of view) of made-up eyes of DRIVE's size."""
    made = (make_phantom(seed, SHAPE[0]) for seed in range(count))
    return [(eye.mask[:, : SHAPE[1]], eye.fov[:, : SHAPE[1]]) for eye in made]


def dataset(name: str) -> list[Image]:
    """(reference, field of view) of the test images of a dataset."""
    items = named_dataset(name).split(TEST)
    return [(item.read_mask(next(iter(item.masks))), item.read_fov()) for item in items]


def guess(reference: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """A map as a fair network draws it: blurred, unsure, with specks that cost topology."""
    blurred = ndimage.gaussian_filter(reference.astype(np.float32), 1.0)
    specks = ndimage.gaussian_filter(rng.standard_normal(reference.shape), 1.0)
    return np.clip(blurred + 0.5 * specks, 0, 1).astype(np.float32)


def cases_of(images: Iterable[Image]) -> list[Case]:
    """(reference, field of view, map to score) of each."""
    rng = np.random.default_rng(SEED)
    return [(reference, fov, guess(reference, rng)) for reference, fov in images]


def enlarged(case: Case, factor: int = FACTOR) -> Case:
    """The same eye, so many times as large, as a map looks that is brought to the image's size."""

    def larger(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        size = pixels.shape[1] * factor, pixels.shape[0] * factor
        return np.asarray(Picture.fromarray(pixels).resize(size, Picture.Resampling.BICUBIC))

    reference, fov, prob = (larger(each.astype(np.float32)) for each in case)
    return reference > 0.5, fov > 0.5, prob.clip(0, 1)


def measure(cases: list[Case]) -> dict[str, float]:
    """Return seconds for the whole set on one core, and what was scored.

    The shorter of two runs, of which the second finds nothing of the first."""
    seconds, f1 = [], 0.0
    for _ in range(2):
        start = time.perf_counter()
        truths = [Regions(reference, fov) for reference, fov, _ in cases]
        predictions = [Prediction(prob, fov, 0.4) for _, fov, prob in cases]
        found = score_set(predictions, truths)
        seconds.append(time.perf_counter() - start)
        f1 = found.summary["fov"]["pooled"]["f1"]
    return {
        "images": len(cases),
        "megapixels": round(sum(reference.size for reference, _, _ in cases) / 1e6, 2),
        "metrics": len(METRICS),
        "regions": 2,
        "seconds": round(min(seconds), 3),
        "f1": f1,
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", help="its test images; default: phantoms of DRIVE's size")
    parser.add_argument("--images", type=int, default=20, help="number of phantoms")
    options = parser.parse_args()
    keep_freed_memory()
    images = dataset(options.dataset) if options.dataset else phantoms(options.images)
    cases = cases_of(images)
    few = cases[:2]
    small, large = measure(few), measure([enlarged(case) for case in few])
    pace = [found["seconds"] / found["megapixels"] for found in (small, large)]
    result = {"of": options.dataset or "phantoms", "cpus": os.cpu_count()} | measure(cases)
    result |= {"large": large, "slower": round(pace[1] / pace[0], 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
