"""Are the masks that a joint generator draws vessel trees? KID does not see it.

It falls and rises with textures: the same KID belongs to vessels that go on and branch, and to
threads that come and go. So the figures of the samples' masks stand beside those of real windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from vesselforge.data.structure import FIGURES, RealRange, TreeFigures

CENTRAL = 0.98
"""Of the real windows, the central share that is the range, as `pseudo_label.real_range` has it."""
WORDS = {"components": "pieces", "ends": "ends", "branchings": "branchings"}
"""Figures in the line of progress."""


@dataclass(frozen=True)
class Structure:
    """Means of the figures over the samples' masks and over as many real windows, to six digits;
    in_range: the share of samples in the range of the real windows, see `RealRange.outside`."""

    samples: TreeFigures
    reals: TreeFigures
    in_range: float

    def scores(self) -> dict[str, float]:
        """Return `in_range`, and every figure, of real windows with `_real` behind its name."""
        own, real = asdict(self.samples), asdict(self.reals)
        return {"in_range": self.in_range} | own | {f"{n}_real": v for n, v in real.items()}

    def __str__(self) -> str:
        """Such as `pieces 2.1 (real 1.6), ends 3.0 (1.2), branchings 0.8 (2.2), in range 0.41`."""
        pairs = [
            f"{word} {getattr(self.samples, name):.1f} "
            f"({'real ' if not i else ''}{getattr(self.reals, name):.1f})"
            for i, (name, word) in enumerate(WORDS.items())
        ]
        return ", ".join([*pairs, f"in range {self.in_range:.2f}"])


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
