"""What the page of a study is made from: results.json and the pictures beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vesselforge.pipeline.study.schema import Results
from vesselforge.report.page import Figure
from vesselforge.report.pictures import opened, picture

_LARGEST_PICTURE = 20_000_000  # bytes; pairs of fundus images have a tenth of it


@dataclass(frozen=True)
class Study:
    """results: what was found; problems: what could not be read."""

    folder: Path
    results: Results
    problems: list[str] = field(default_factory=list)

    def picture(self, name: str, alt: str, caption: str, side: int) -> Figure | None:
        """A picture of the run folder; what cannot be read, or leads elsewhere, is noted."""
        path = self.folder / name
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise OSError
            content = path.read_bytes() if path.stat().st_size <= _LARGEST_PICTURE else b""
        except (OSError, ValueError):
            self.problems.append(f"{name} cannot be read, and is not shown")
            return None
        shown = picture(opened(content), alt, caption, side)
        if shown is None:
            self.problems.append(f"{name} is no readable picture; it is not shown")
        return shown
