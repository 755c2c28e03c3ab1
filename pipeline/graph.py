"""Pieces of work that are addressed before any is done: runs and studies are graphs of them.

An address depends on settings and inputs alone, so two arms that share a stage share the piece of
work, and what an earlier run or study made is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel

from vesselforge.configs.base import Settings
from vesselforge.engine.artifacts import MANIFEST, address
from vesselforge.engine.store import Store
from vesselforge.pipeline.stages import STAGES

Reference = list[str]
"""[kind, digest] of an artifact."""


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
        return address(self.kind, STAGES[self.kind].version, self.settings, self.given)

    @property
    def given(self) -> dict[str, str]:
        """What it works on: name → address or content hash."""
        return {name: work.digest for name, work in self.inputs.items()} | dict(self.outside)

    def is_done(self, store: Store) -> bool:
        """Whether its artifact is there; not whether its files are whole."""
        return (store.folder(self.kind, self.digest) / MANIFEST).is_file()


class Given(Work):
    """An artifact of the store by its address, made by whatever work: an input of further work."""

    def __init__(self, kind: str, digest: str) -> None:
        super().__init__(f"{kind} {digest}", kind, Settings())  # which are not known
        self.__dict__["digest"] = digest


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
