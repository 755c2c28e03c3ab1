"""A study that several tests look at or go on from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Studied:
    """Its workspace, what the flow returned, and (kind, digest) of all that were made."""

    workspace: Path
    told: dict[str, Any]
    made: list[tuple[str, str]]

    def store(self, workspace: Path) -> Path:
        """A workspace in which all of it was made already."""
        shutil.copytree(self.workspace / "store", workspace / "store")
        return workspace
