"""How large a picture without a border is, by its vessels.

A model is shown the picture at several sizes. Two things tell the right one: vessels found there
are as wide as those of the training, and more of the picture is surely vessel than at any other
size. On pieces of DRIVE's training images the two together were off by a factor of at most 1.41,
mostly less than 1.15, by which `sa-unet-drive` loses at most 0.012 of F1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.data.structure import tree_figures
from vesselforge.segmenter.models import Model

LARGEST = 1.2
"""Longest side of the largest size tried, in fields of view of the training: then the picture is
all there is of the eye, and a little more."""
SMALLEST = 80
"""Longest side of the smallest size tried, in pixels."""
STEP = 0.5
"""Between two sizes, in octaves."""
NEAR = 0.5
"""Pictures that seem no more than that many octaves off are shown as they are: an estimate is not
better."""
CERTAIN = 0.8
"""Of the way from the threshold to 1 lies what is surely vessel."""
LAG = 0.15
"""Octaves by which models are most certain above the size of their training."""
SOFT = 0.05
"""Share of the greatest certainty by which another one counts 1 / e as much."""
LEAST = 0.005
"""Share of a picture that must surely be vessel at some size, or nothing is known of it."""


def vessel_scale(model: Model, image: NDArray[np.uint8]) -> tuple[float, float]:
    """(scale at which a model is to be shown a picture [H, W, 3] without a border; how sure that
    is, in [0, 1]). sure: 1 where widths and certainty point to one size, 0 where they are an octave
    apart, or hardly any vessel is seen at any size: then the scale is 1.

    The model's magnification must be known. Takes as long as two images of the training.
    """
    assert model.magnification is not None
    seen: list[tuple[float, float, float]] = []
    certain = model.threshold + CERTAIN * (1 - model.threshold)
    longest = max(image.shape[:2])
    side = LARGEST * model.magnification.fov_width
    picture = Image.fromarray(image)
    while side >= SMALLEST or len(seen) < 2:
        scale = side / longest
        high, wide = (max(1, round(length * scale)) for length in image.shape[:2])
        picture = picture.resize((wide, high), Image.Resampling.LANCZOS)
        prob = model.predict(np.asarray(picture))
        share, width = float((prob >= certain).mean()), tree_figures(model.mask(prob)).calibre
        seen.append((math.log2(scale), share, width))
        side *= 2**-STEP
    sizes, shares, widths = np.array(seen).T
    return chosen(sizes, shares, widths, model.magnification.vessel_width)


def chosen(
    sizes: NDArray[np.float64],
    shares: NDArray[np.float64],
    widths: NDArray[np.float64],
    wanted: float,
) -> tuple[float, float]:
    """(scale, how sure) of what was seen at each of these sizes: log2 of the scale, largest first;
    share that is surely vessel; mean width of vessels in pixels, which should be as wanted."""
    most = shares.max()
    if most < LEAST:
        return 1.0, 0.0
    weights = np.exp((shares / most - 1) / SOFT)
    by_share = float((weights * sizes).sum() / weights.sum()) - LAG
    good = shares >= most / 2  # where next to nothing is seen, widths mean nothing
    rising = np.maximum.accumulate(widths[good][::-1])
    by_width = float(np.interp(wanted, rising, sizes[good][::-1]))
    sure = max(0.0, 1 - abs(by_share - by_width))
    found = (by_share + by_width) / 2
    return (1.0 if abs(found) <= NEAR else float(2**found)), sure
