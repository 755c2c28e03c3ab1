"""How good a training was at its snapshots, and which of them is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vesselforge.data.structure import FIGURES, RealRange, TreeFigures

Interval = tuple[float, float]
"""Mean and standard deviation."""
CENTRAL = 0.98
"""Of the real windows, the central share that is the range, as `pseudo_label.real_range` has it."""


@dataclass(frozen=True)
class Structure:
    """Are the masks that a joint generator draws vessel trees? KID does not see it: the same KID
    belongs to vessels that go on and branch, and to threads that come and go.

    Means of the figures over the samples' masks and over as many real windows, to six digits;
    in_range: the share of samples in the range of the real windows, see `RealRange.outside`.
    """

    samples: TreeFigures
    reals: TreeFigures
    in_range: float

    @staticmethod
    def of(samples: Sequence[TreeFigures], reals: Sequence[TreeFigures]) -> Structure:
        """Hold samples against real windows that are as large."""
        usual = RealRange.of(reals, CENTRAL)
        inside = float(np.mean([not usual.outside(one) for one in samples]))
        return Structure(_mean(samples), _mean(reals), round(inside, 6))

    def __str__(self) -> str:
        """Such as `pieces 2.1 (real 1.6), ends 3.0 (real 1.2), in range 0.41`."""
        own, real = self.samples, self.reals
        return (
            f"pieces {own.components:.1f} (real {real.components:.1f}), ends {own.ends:.1f} (real "
            f"{real.ends:.1f}), in range {self.in_range:.2f}"
        )


def _mean(found: Sequence[TreeFigures]) -> TreeFigures:
    means = np.mean([[getattr(one, name) for name in FIGURES] for one in found], axis=0)
    return TreeFigures(**TreeFigures(*means.tolist()).as_json())


@dataclass(frozen=True)
class Snapshot:
    """A training at one step. Scores are None where snapshots are not scored, and where they are no
    finite numbers.

    kid: mean and standard deviation over resamplings. diversity: mean distance of two samples over
    that of two real views. structure: of the masks, where samples have one.
    """

    step: int
    kimg: float
    kid: Interval | None = None
    diversity: float | None = None
    structure: Structure | None = None

    def scores(self) -> dict[str, float]:
        """Return what was measured of images; nothing when snapshots are not scored."""
        if self.kid is None or self.diversity is None:
            return {}
        return {"kid_mean": self.kid[0], "kid_std": self.kid[1], "diversity": self.diversity}

    def logged(self) -> dict[str, Any]:
        """Return what was measured, as in the log and in generator.json."""
        structure = {} if self.structure is None else {"structure": asdict(self.structure)}
        return self.scores() | structure

    def __str__(self) -> str:
        """Such as `2 kimg: KID 0.12 ± 0.01, diversity 0.80`."""
        kid = self.kid or (math.nan, math.nan)
        line = (
            f"{self.kimg:g} kimg: KID {kid[0]:.3g} ± {kid[1]:.2g}, diversity {self.diversity:.2f}"
        )
        return line if self.structure is None else f"{line}, {self.structure}"


def best_of(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """Return the snapshot with the least KID, the newest where nothing is scored; None of none."""

    def key(taken: Snapshot) -> tuple[bool, float, int]:
        return taken.kid is None, taken.kid[0] if taken.kid else -taken.step, taken.step

    return min(snapshots, key=key, default=None)
