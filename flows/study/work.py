"""Pieces of work that are addressed before any is done: a study is a graph of them.

An address depends on settings and inputs alone, so two arms that share a stage share the piece of
work, and what an earlier study made is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel

from data.store import address
from flows.stages import STAGES


@dataclass(frozen=True, eq=False)
class Work:
    """One stage to run. step: its name for people; outside: content hashes of files it reads."""

    step: str
    kind: str
    settings: BaseModel
    inputs: Mapping[str, Work] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The address of its artifact, known before it is made."""
        digests = {name: work.digest for name, work in self.inputs.items()} | dict(self.outside)
        return address(self.kind, STAGES[self.kind].version, self.settings, digests)


def closure(targets: Iterable[Work]) -> dict[str, Work]:
    """Digest → work: the targets and all that they need, each once, inputs first."""
    found: dict[str, Work] = {}

    def visit(work: Work) -> None:
        if work.digest in found:
            return
        for needed in work.inputs.values():
            visit(needed)
        found[work.digest] = work

    for target in targets:
        visit(target)
    return found
