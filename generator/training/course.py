"""How a training got where it is: its snapshots, which of them are worth keeping, its rollbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vesselforge.generator.training.snapshots import Snapshot


def ranked(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Return them best first: the healthy ones by KID, then the others; the newest first where
    nothing is scored."""

    def key(taken: Snapshot) -> tuple[bool, float, int]:
        if not taken.scored:
            return False, 0.0, -taken.step
        return bool(taken.symptoms), taken.kid[0], taken.step

    return sorted(snapshots, key=key)


def retained(snapshots: Sequence[Snapshot], best: int) -> list[Snapshot]:
    """Return the history with only the `best` best still marked as kept; what was once let go
    stays so, for its file is gone."""
    steps = {s.step for s in ranked([s for s in snapshots if s.kept])[:best]}
    return [replace(s, kept=s.step in steps) for s in snapshots]


@dataclass
class Course:
    """How a training got where it is; part of every checkpoint.

    clock: steps done, those that were undone included; it numbers the checkpoints. logged: entries
    of the log. rollbacks: from which step to which, and why.
    """

    clock: int = 0
    logged: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)
    rollbacks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> Snapshot | None:
        """The best snapshot so far."""
        return ranked(self.snapshots)[0] if self.snapshots else None

    @property
    def refuge(self) -> Snapshot | None:
        """The snapshot to go back to: the best, unless there is no healthy one."""
        return None if self.best is None or self.best.symptoms else self.best

    @property
    def files(self) -> set[str]:
        """Names of the weight averages that are kept."""
        return {taken.file for taken in self.snapshots if taken.kept}

    @property
    def needs(self) -> tuple[set[int], set[str]]:
        """Earlier checkpoints and files without which it cannot go back, or be finished."""
        return {self.best.clock} if self.best else set(), self.files

    def pack(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"snapshots": [taken.pack() for taken in self.snapshots]}

    @staticmethod
    def unpack(facts: dict[str, Any]) -> Course:
        """Return what `pack` packed."""
        return Course(**facts | {"snapshots": [Snapshot.unpack(s) for s in facts["snapshots"]]})
