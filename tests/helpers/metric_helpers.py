"""The metrics of one image, and of several images pooled, for tests that compare with them."""

from __future__ import annotations

from collections.abc import Sequence

from vesselforge.segmenter.metrics.confusion import COUNTS, Mask, Prob
from vesselforge.segmenter.metrics.scores import Pixels, Prediction, Regions, Tally, pool, tally_of


def score(
    prob: Prob, reference: Mask, fov: Mask | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Every metric of an image at `prob >= threshold` inside the field of view, and the counts."""
    return _told(_tally(prob, reference, fov, threshold)[0])


def pooled(
    probs: Sequence[Prob], references: Sequence[Mask], fovs: Sequence[Mask], threshold: float
) -> dict[str, float]:
    """The same of all pixels of several images thrown together."""
    images = zip(probs, references, fovs, strict=True)
    tallies, pixels = zip(*(_tally(*image, threshold) for image in images), strict=True)
    return _told(pool(tallies, pixels))


def _tally(prob: Prob, reference: Mask, fov: Mask | None, threshold: float) -> tuple[Tally, Pixels]:
    prediction = Prediction(prob >= threshold, fov)
    prediction.prob = prob  # of whatever precision
    return tally_of(prediction, Regions(reference, fov), "fov")


def _told(tally: Tally) -> dict[str, float]:
    return tally.metrics() | {name: float(tally.counts[name]) for name in COUNTS}
