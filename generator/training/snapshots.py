"""How good a training was at its snapshots, and the rule by which it has failed.

A GAN on little data fails in two ways: it diverges (a loss that is no number), or it collapses
(all samples alike, or far from the real images). Nobody watches for days, so the training watches
itself: it ends with the best snapshot that it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.generator.training.mask_structure import Structure
from vesselforge.generator.training.schedule import Schedule

Interval = tuple[float, float]
"""Mean and standard deviation."""
NARROW = 0.5
"""Samples less than half as diverse as the real views …"""
FALLEN = 0.7
"""… and less than 0.7 times as diverse as they were at best have lost modes."""
KID_RISE = 2.0
"""KID this many times its best or its floor, error bars aside, is no longer chance."""
WARM_UP = 3
"""Snapshots at the start that are not judged, nor others by them: before a generator draws
anything, flat colour can score better than the first textures."""
PATIENCE = 2
"""Snapshots in a row with a fault that make a collapse."""


@dataclass(frozen=True)
class Snapshot:
    """A training at one step. Scores are None where snapshots are not scored.

    kid: mean and standard deviation over resamplings. diversity: mean distance of two samples over
    that of two real views. structure: of the masks, where samples have one. fault: what is wrong
    with it, in words, empty for a healthy one.
    """

    step: int
    kimg: float
    kid: Interval | None = None
    diversity: float | None = None
    structure: Structure | None = None
    fault: str = ""

    def scores(self) -> dict[str, float]:
        """Return what was measured of images; nothing when snapshots are not scored."""
        if self.kid is None or self.diversity is None:
            return {}
        return {"kid_mean": self.kid[0], "kid_std": self.kid[1], "diversity": self.diversity}

    def logged(self) -> dict[str, Any]:
        """Return what was measured, as in the log and in generator.json."""
        structure = {} if self.structure is None else {"structure": asdict(self.structure)}
        return self.scores() | structure

    @property
    def finite(self) -> bool:
        """Whether its scores, if it has any, are numbers."""
        return all(map(math.isfinite, self.scores().values()))

    def __str__(self) -> str:
        """Such as `2 kimg: KID 0.12 ± 0.01, diversity 0.80`."""
        kid = self.kid or (math.nan, math.nan)
        line = (
            f"{self.kimg:g} kimg: KID {kid[0]:.3g} ± {kid[1]:.2g}, diversity {self.diversity:.2f}"
        )
        return line if self.structure is None else f"{line}, {self.structure}"


def best_of(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """Return the healthy snapshot with the least KID, the newest where nothing is scored; None
    where none is healthy."""

    def key(taken: Snapshot) -> tuple[float, int]:
        return (0.0, -taken.step) if taken.kid is None else (taken.kid[0], taken.step)

    return min((taken for taken in snapshots if not taken.fault), key=key, default=None)


def collapse_of(snapshots: Sequence[Snapshot]) -> str:
    """Return why a training has collapsed, empty while it has not."""
    recent = snapshots[-PATIENCE:]
    lasting = len(recent) == PATIENCE and all(snapshot.fault for snapshot in recent)
    if lasting or (recent and not recent[-1].finite):
        return f"collapsed: {recent[-1].fault}"
    return ""


def fault_of(history: Sequence[Snapshot], now: Snapshot, floor: Interval) -> str:
    """Return what is wrong with a scored snapshot, in words; empty for a healthy one.

    history: the snapshots before it. The first ones of a training are healthy unless their scores
    are no numbers, so that there is a healthy one before a sick one. floor: KID of real views
    against real views.
    """
    if not now.finite:
        return "the scores of its samples are not finite numbers"
    settled = [s for s in history[WARM_UP:] if s.kid is not None and s.diversity is not None]
    best = best_of(settled)
    if best is None or best.kid is None or now.kid is None or now.diversity is None:
        return ""
    widest = max(s.diversity for s in settled if s.diversity is not None)
    if now.diversity < min(NARROW, FALLEN * widest):
        return (
            f"its samples are only {now.diversity:.2f} times as diverse as the real views "
            f"(at best {widest:.2f})"
        )
    usual = max(best.kid[0] + 2 * best.kid[1], floor[0] + 2 * floor[1])
    if now.kid[0] - 2 * now.kid[1] > KID_RISE * usual:
        return f"KID is {now.kid[0]:.3g} and was {best.kid[0]:.3g} at step {best.step}"
    return ""


def advice(settings: GeneratorSettings) -> str:
    """Return what to change after a training has failed."""
    gamma = Schedule.of(settings, continued=False).r1_gamma
    augment = "" if settings.augment == "ada" else f" (now {settings.augment})"
    return (
        f"lower generator.lr (now {settings.lr:g}), raise generator.r1_gamma (now {gamma:g}; 2 to "
        f"10 times is usual) or generator.batch (now {settings.batch}), use generator.augment: "
        f"ada{augment}, start from a trained network with generator.freeze_d (10, say), or train "
        "on more images"
    )
