"""Wavelet filters of the augmentation pipe (coefficients as tabulated by PyWavelets)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""Low-pass; not symmetric, so its orientation matters."""


def filter_bank() -> NDArray[np.float64]:
    """Return `[4, 43]`: zero-phase band filters, lowest first, that add up to the identity."""
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low_pass = np.convolve(low, low[::-1]) / 2
    band_pass = np.convolve(high, high[::-1]) / 2
    bank = np.eye(4, 1)
    for i in range(1, 4):
        spread = np.zeros((4, bank.shape[1] * 2 - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low_pass) for row in spread])
        start = (bank.shape[1] - band_pass.size) // 2
        bank[i, start : start + band_pass.size] += band_pass
    return bank
