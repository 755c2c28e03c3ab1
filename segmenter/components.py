"""From a probability map to a mask: the threshold, and which connected pieces count.

A network's mask at its threshold has twenty times as many pieces as people draw: specks, and bits
of vessels that it is not sure of. A rule leaves out pieces that are too small, and pieces that have
no pixel it is sure of: hysteresis with the threshold as its lower end (Canny 1986). It only ever
takes away, so that the threshold means the same with and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from scipy import ndimage
from scipy.special import expit, logit

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

EIGHT = np.ones((3, 3), dtype=bool)
STEPS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""How far above the threshold a piece's best pixel may be asked to lie, in logits."""
SIZES = (0, 10, 20, 30, 50, 80, 120)
"""What may be asked of a piece's size, in pixels."""
MARGIN = 0.002
"""F1 that a rule may cost: no more than averaging over mirrors gains, less than what another seed
of the same training makes."""


@dataclass(frozen=True)
class Components:
    """Which 8-connected pieces of a mask count: those with a pixel of at least `sure` (a
    probability; at or below the threshold: all) and at least `smallest` pixels (of the image as the
    network is shown it; or cut by the image's edge, beyond which there may be more of them)."""

    sure: Annotated[float, Field(ge=0, le=1)] = 0.0
    smallest: Annotated[int, Field(ge=0)] = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def said(self) -> dict[str, Any]:
        """Its entry in files, `components`; none where all pieces count."""
        return {} if self == ALL else {"components": asdict(self)}


ALL = Components()


def masked(prob: Map, threshold: float, rule: Components = ALL, scale: float = 1.0) -> Mask:
    """Where a map [H, W] says vessel, [H, W] bool. scale: how many times as large as the map
    the image was that the network saw; the rule's pixels are of the latter."""
    mask = np.asarray(prob >= threshold)
    if rule == ALL:
        return mask
    labels, pieces = Pieces.of(prob, mask)
    return np.asarray(np.concatenate([[False], pieces.kept(rule, scale)])[labels])


@dataclass(frozen=True)
class Pieces:
    """8-connected pieces of masks; of each: size in pixels, highest probability, whether the edge
    of its image cuts it."""

    size: NDArray[np.int64]
    peak: Map
    cut: Mask

    @classmethod
    def of(cls, prob: Map, mask: Mask) -> tuple[NDArray[np.int32], Pieces]:
        """(the number of each pixel's piece from 1, 0 outside [H, W]; the pieces) of a mask."""
        labels, count = ndimage.label(mask, EIGHT)
        numbers = np.arange(1, count + 1)
        edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        peak = np.asarray(ndimage.maximum(prob, labels, numbers), np.float32)
        return labels, cls(_counts(labels, count), peak, np.isin(numbers, edges))

    def kept(self, rule: Components, scale: float = 1.0) -> Mask:
        """[pieces] bool: which of them count; see `masked`."""
        large = self.cut | (self.size * scale**2 >= rule.smallest)
        return np.asarray(large & (self.peak >= rule.sure))


def _counts(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """[count] pixels of each number from 1."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:]


def choose_components(
    probs: Sequence[Map], references: Sequence[Mask], fovs: Sequence[Mask], threshold: float
) -> Components:
    """The rule of a small grid whose number of pieces is nearest to that of the references, over
    all images together, among those whose pooled F1 is within MARGIN of the best rule's.

    Inside the fields of view. A mask is made to be right pixel by pixel first, so that F1 decides
    which rules may be had; it hardly sees specks, so that it cannot decide which of them to take.
    Of rules as near as each other, that of the higher F1, then the milder one.
    """
    each = []
    drawn = vessels = 0
    for prob, reference, fov in zip(probs, references, fovs, strict=True):
        truth = reference & fov
        labels, own = Pieces.of(prob, (prob >= threshold) & fov)
        each.append((own.size, own.peak, own.cut, _counts(labels * truth, len(own.size))))
        drawn, vessels = drawn + pieces_in(truth), vessels + int(truth.sum())
    *columns, right = (np.concatenate(column) for column in zip(*each, strict=True))
    pieces = Pieces(*columns)
    steps = [round(float(expit(logit(threshold) + step)), 4) if step else 0.0 for step in STEPS]
    judged = []
    for sure, smallest in product(steps, SIZES):
        rule = Components(sure, smallest)
        kept = pieces.kept(rule)
        below = int(pieces.size[kept].sum()) + vessels
        f1 = 2 * int(right[kept].sum()) / below if below else 0.0
        judged.append((rule, f1, abs(int(kept.sum()) - drawn)))
    least = max(f1 for _, f1, _ in judged) - MARGIN
    allowed = [(distance, -f1, rule) for rule, f1, distance in judged if f1 >= least]
    return min(allowed, key=lambda found: found[:2])[2]


def pieces_in(mask: Mask) -> int:
    """How many 8-connected pieces a mask has."""
    return int(ndimage.label(mask, EIGHT)[1])
