"""How much of a vessel map is a copy: its best match among real maps, however it was moved.

Fundus vessels are biometric, so that a copied tree is a leak even under new colours; and distances
between features do not see a copy that was turned. Here the map itself is laid over every real one,
in all 8 orientations and at all shifts, by correlation (FFT) at half resolution; the best places
are then looked at pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vesselforge.data.structure import window_sums
from vesselforge.segmenter.labels.geometry import TURNS, turned

Mask = NDArray[np.bool_]

MARGIN = 1 / 16
"""How far a map may reach beyond a real one, as a share of its side. For maps of whole images this
is all that they are shifted: fundus photographs are centred."""
CANDIDATES = 16
"""Pairs of a real map and an orientation that are looked at pixel by pixel. For windows of 64
pixels of held-out DRIVE maps the best of 3 is as good as that of 64: at most 0.01 too low."""


class Overlap(NamedTuple):
    """dice: in [0, 1]. real: number of the real map. turn: orientation of the sample, as in
    `geometry.turned`. y, x: its upper left corner on the real map in pixels; may be negative."""

    dice: float
    real: int
    turn: int
    y: int
    x: int


class RealMaps:
    """Real vessel maps [H, W] bool, of any sizes, ready to be searched for copies."""

    def __init__(self, maps: Sequence[Mask], step: int = 2) -> None:
        """step: side in pixels of the blocks at whose resolution places are first searched. With 1
        the result is exact; 2 is six times faster (16 maps of DRIVE, 64-pixel sample: 0.06 s)."""
        self.maps = [np.asarray(real, bool) for real in maps]
        self.step = step
        self._correlations: dict[tuple[int, int], _Correlations] = {}

    def best(self, mask: Mask) -> Overlap:
        """The place with the highest Dice score, 2·|both| / (|sample| + |real map under it|).

        mask: [h, w]. Beyond its rim a real map counts as empty. A map without vessels overlaps
        with nothing: 0.
        """
        vessels = int(np.count_nonzero(mask))
        found = Overlap(0.0, 0, 0, 0, 0)
        if not vessels:
            return found
        versions = [turned(np.asarray(mask, bool), turn) for turn in range(TURNS)]
        places = [
            place
            for turn, version in enumerate(versions)
            for place in self._at_size(version.shape).places(version, vessels, turn)
        ]
        places.sort(key=lambda place: -place.dice)
        for place in places[:CANDIDATES]:
            version = versions[place.turn]
            exact = self._at_size(version.shape).exact(version, vessels, place)
            found = max(found, exact, key=lambda one: one.dice)
        return found

    def _at_size(self, shape: tuple[int, ...]) -> _Correlations:
        size = (shape[0], shape[1])
        if size not in self._correlations:
            self._correlations[size] = _Correlations(self.maps, size, self.step)
        return self._correlations[size]


@dataclass(frozen=True)
class _Padded:
    """A real map with a rim of emptiness; top, left: its thickness in pixels."""

    pixels: Mask
    top: int
    left: int


class _Correlations:
    """The real maps as samples of one size are laid over them."""

    def __init__(self, maps: Sequence[Mask], size: tuple[int, int], step: int) -> None:
        self.size, self.step = size, step
        self.padded = [_pad(real, size, step) for real in maps]
        blocks = [_blocks(real.pixels, step) for real in self.padded]
        window = (-(-size[0] // step), -(-size[1] // step))
        self._shape = tuple(
            fft.next_fast_len(max(b.shape[axis] for b in blocks), real=True) for axis in (0, 1)
        )
        self._spectra = [fft.rfft2(b, self._shape) for b in blocks]  # each [H, W/2 + 1] complex64
        # Blocks of vessel in the real map under a sample, at every place.
        self._under = [window_sums(b, window).astype(np.float32) for b in blocks]

    def places(self, version: Mask, vessels: int, turn: int) -> list[Overlap]:
        """The best place on every real map, to blocks of `step` pixels; its Dice by blocks."""
        spectrum = np.conj(fft.rfft2(_blocks(_full(version, self.step), self.step), self._shape))
        of_sample = vessels / self.step**2
        found = []
        for number, (real, under) in enumerate(zip(self._spectra, self._under, strict=True)):
            both = fft.irfft2(real * spectrum, self._shape)[: under.shape[0], : under.shape[1]]
            score = both / (under + np.float32(of_sample))
            y, x = divmod(int(score.argmax()), score.shape[1])
            found.append(Overlap(2 * float(score[y, x]), number, turn, y, x))
        return found

    def exact(self, version: Mask, vessels: int, place: Overlap) -> Overlap:
        """The best place within a block of one that `places` found, its Dice by pixels."""
        real, reach = self.padded[place.real], self.step if self.step > 1 else 0
        (height, width), (rows, columns) = self.size, real.pixels.shape
        best = Overlap(-1.0, 0, 0, 0, 0)
        top, left = place.y * self.step, place.x * self.step
        for y in range(max(top - reach, 0), min(top + reach, rows - height) + 1):
            for x in range(max(left - reach, 0), min(left + reach, columns - width) + 1):
                under = real.pixels[y : y + height, x : x + width]
                both = 2 * np.count_nonzero(under & version)
                dice = both / (vessels + np.count_nonzero(under))
                if dice > best.dice:
                    best = place._replace(dice=float(dice), y=y - real.top, x=x - real.left)
        return best


def _pad(real: Mask, size: tuple[int, int], step: int) -> _Padded:
    """Pad so that a sample fits everywhere with its margin, also where the image is smaller; to
    whole blocks."""
    before, after = [], []
    for have, need in zip(real.shape, size, strict=True):
        margin = round(need * MARGIN)
        rim = max(margin, -(-(need - have) // 2) + margin)
        before.append(rim)
        after.append(rim + -(have + 2 * rim) % step)
    pixels = np.pad(real, list(zip(before, after, strict=True)))
    return _Padded(pixels, before[0], before[1])


def _full(version: Mask, step: int) -> Mask:
    """Empty pixels below and on the right, to whole blocks."""
    height, width = version.shape
    return np.pad(version, ((0, -height % step), (0, -width % step)))


def _blocks(mask: Mask, step: int) -> NDArray[np.float32]:
    """The share of vessel in every block. (Whether there is any at all misses the best place more
    often: it makes all vessels wider.)"""
    height, width = mask.shape
    cut = mask.reshape(height // step, step, width // step, step)
    return cut.mean((1, 3), dtype=np.float32)
