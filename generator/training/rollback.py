"""How a training got where it is, and the one rule by which it goes back.

A GAN on little data fails in two ways: it diverges (a loss that is no number), or it collapses
(all samples alike, or far from the real images). Nobody watches for days, so the training watches
itself: it goes back to its best snapshot, at most ROLLBACKS times, each time with half the learning
rate, twice the R1 weight and other random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vesselforge.configs.errors import TrainingError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.generator.training.mask_structure import Structure
from vesselforge.generator.training.schedule import Schedule, seed_of

Interval = tuple[float, float]
"""Mean and standard deviation."""
ROLLBACKS = 2
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
STREAM = 0, 0
"""Purpose of the random stream after the n-th rollback: (0, 0, n)."""


@dataclass(frozen=True)
class Snapshot:
    """A training at one step. Scores are None where snapshots are not scored.

    clock: number of the checkpoint that holds the whole state. kid: mean and standard deviation
    over resamplings. diversity: mean distance of two samples over that of two real views.
    structure: of the masks, where samples have one. fault: what is wrong with it, in words, empty
    for a healthy one. kept: its weight average is still on disk.
    """

    step: int
    kimg: float
    clock: int
    kid: Interval | None = None
    diversity: float | None = None
    structure: Structure | None = None
    fault: str = ""
    kept: bool = True

    @property
    def file(self) -> str:
        """Name of the file with its weight average; the grid of the same step has its number."""
        return f"snapshot-{self.step:06d}.safetensors"

    def logged(self) -> dict[str, Any]:
        """Return what was measured, as in the log; nothing when snapshots are not scored."""
        if self.kid is None:
            return {}
        found = {"kid_mean": self.kid[0], "kid_std": self.kid[1], "diversity": self.diversity}
        return found if self.structure is None else found | {"structure": asdict(self.structure)}

    def scores(self) -> dict[str, float]:
        """Return what was measured, number by number."""
        found = self.logged()
        found.pop("structure", None)
        return found | ({} if self.structure is None else self.structure.scores())

    @property
    def finite(self) -> bool:
        """Whether it was scored, by numbers."""
        return bool(self.scores()) and all(map(math.isfinite, self.scores().values()))

    def listed(self, file: str | None = None) -> dict[str, Any]:
        """Return what the artifact says of it. file: where its weight average is, if not in the
        file of its own name."""
        kept = file or (self.file if self.kept else None)
        return {"step": self.step, "kimg": self.kimg, "file": kept, **self.logged()}

    def __str__(self) -> str:
        """Such as `2 kimg: KID 0.12 ± 0.01, diversity 0.80`."""
        kid = self.kid or (math.nan, math.nan)
        line = (
            f"{self.kimg:g} kimg: KID {kid[0]:.3g} ± {kid[1]:.2g}, diversity {self.diversity:.2f}"
        )
        return line if self.structure is None else f"{line}, {self.structure}"


@dataclass
class History:
    """Snapshots and rollbacks of a training; part of every checkpoint.

    clock: steps done, those that were undone included; it numbers the checkpoints. logged: entries
    of the log. rollbacks: from which step to which, and why.
    """

    clock: int = 0
    logged: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)
    rollbacks: list[dict[str, Any]] = field(default_factory=list)

    def add(self, snapshot: Snapshot, keep: int) -> None:
        """Append a snapshot; only the `keep` best are still marked as kept. What was once let go
        stays so, for its file is gone."""
        found = [*self.snapshots, snapshot]
        steps = {s.step for s in ranked([s for s in found if s.kept])[:keep]}
        self.snapshots = [replace(s, kept=s.step in steps) for s in found]

    @property
    def best(self) -> Snapshot | None:
        """The best snapshot so far."""
        return ranked(self.snapshots)[0] if self.snapshots else None

    @property
    def healthy(self) -> Snapshot | None:
        """The snapshot to go back to: the best, unless none is without a fault."""
        return None if self.best is None or self.best.fault else self.best

    @property
    def files(self) -> set[str]:
        """Names of the weight averages that are kept."""
        return {snapshot.file for snapshot in self.snapshots if snapshot.kept}

    @property
    def needs(self) -> tuple[set[int], set[str]]:
        """Earlier checkpoints and files without which it cannot go back, or be finished."""
        return {self.best.clock} if self.best else set(), self.files

    def collapse(self) -> str:
        """Return why the training has collapsed, empty while it has not."""
        recent = self.snapshots[-PATIENCE:]
        lasting = len(recent) == PATIENCE and all(snapshot.fault for snapshot in recent)
        if lasting or (recent and _no_number(recent[-1])):
            return f"collapsed: {recent[-1].fault}"
        return ""


def ranked(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Return them best first: the healthy ones by KID, then the others; the newest first where
    nothing is scored."""

    def key(taken: Snapshot) -> tuple[bool, float, int]:
        if taken.kid is None:
            return False, 0.0, -taken.step
        return bool(taken.fault), taken.kid[0], taken.step

    return sorted(snapshots, key=key)


def fault_of(history: Sequence[Snapshot], now: Snapshot, floor: Interval) -> str:
    """Return what is wrong with a scored snapshot, in words; empty for a healthy one.

    history: the snapshots before it. The first ones of a training are healthy unless their scores
    are no numbers, so that there is a healthy one to go back to before a sick one. floor: KID of
    real views against real views.
    """
    if _no_number(now):
        return "the scores of its samples are not finite numbers"
    settled = [s for s in history[WARM_UP:] if s.kid is not None and s.diversity is not None]
    if not settled or now.kid is None or now.diversity is None:
        return ""
    best = ranked(settled)[0]
    assert best.kid is not None
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


def _no_number(snapshot: Snapshot) -> bool:
    return snapshot.kid is not None and not snapshot.finite


def settings_after(settings: GeneratorSettings, rollbacks: int) -> GeneratorSettings:
    """Return the settings after some rollbacks: every one halves the learning rate of both
    networks and doubles the R1 weight; data, latents and augmentation come from another random
    stream, or the same would happen again."""
    if rollbacks == 0:
        return settings
    gamma = Schedule.of(settings, continued=False).r1_gamma
    return settings.model_copy(
        update={
            "lr": settings.lr / 2**rollbacks,
            "r1_gamma": gamma * 2**rollbacks,
            "seed": seed_of(settings.seed, *STREAM, rollbacks),
        }
    )


def given_up(settings: GeneratorSettings, step: int, reason: str, best: str) -> TrainingError:
    """Return the error that ends a training which failed once too often.

    settings: as they were in the end. best: where what is good of it lies.
    """
    gamma = Schedule.of(settings, continued=False).r1_gamma
    augment = "" if settings.augment == "ada" else f" (now {settings.augment})"
    return TrainingError(
        f"generator: at step {step} after {ROLLBACKS} rollbacks, {reason}; lower generator.lr (now "
        f"{settings.lr:g}), raise generator.r1_gamma (now {gamma:g}; 2 to 10 times is usual) or "
        f"generator.batch (now {settings.batch}), use generator.augment: ada{augment}, start from "
        f"a trained network with generator.freeze_d (10, say), or train on more images; {best}"
    )
