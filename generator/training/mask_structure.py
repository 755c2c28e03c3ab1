"""Are the masks that a joint generator draws vessel trees? KID does not see it.

It falls and rises with textures: the same KID belongs to vessels that go on and branch, and to
threads that come and go. So the figures of the samples' masks stand beside those of real windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vesselforge.data.structure import FIGURES, RealRange, TreeFigures

CENTRAL = 0.98
"""Of the real windows, the central share that is the range, as `pseudo_label.real_range` has it."""


@dataclass(frozen=True)
class Structure:
    """Means of the figures over the samples' masks and over as many real windows, to six digits;
    in_range: the share of samples in the range of the real windows, see `RealRange.outside`."""

    samples: TreeFigures
    reals: TreeFigures
    in_range: float

    def __str__(self) -> str:
        """Such as `pieces 2.1 (real 1.6), ends 3.0 (real 1.2), in range 0.41`."""
        own, real = self.samples, self.reals
        return (
            f"pieces {own.components:.1f} (real {real.components:.1f}), ends {own.ends:.1f} (real "
            f"{real.ends:.1f}), in range {self.in_range:.2f}"
        )


class RealStructure:
    """The figures of real windows, computed once, and samples beside them."""

    def __init__(self, reals: Sequence[TreeFigures]) -> None:
        self.mean, self.range = _mean(reals), RealRange.of(reals, CENTRAL)

    def beside(self, samples: Sequence[TreeFigures]) -> Structure:
        """Return the structure of samples whose masks are as large as the windows."""
        inside = float(np.mean([not self.range.outside(one) for one in samples]))
        return Structure(_mean(samples), self.mean, round(inside, 6))


def _mean(found: Sequence[TreeFigures]) -> TreeFigures:
    means = np.mean([[getattr(one, name) for name in FIGURES] for one in found], axis=0)
    return TreeFigures(**TreeFigures(*means.tolist()).as_json())
