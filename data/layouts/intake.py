"""Which images of a folder that people keep adding to are to be left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.layouts.check import check
from vesselforge.engine.progress import Progress

MOST_BAD = 0.2
"""Share of bad images from which a folder is rather not mounted than badly annotated."""
SHOWN = 3
"""Bad images that a sentence names."""


@dataclass(frozen=True)
class Intake:
    """images: how many are sound; quarantined: identifier → the file and what is wrong with it;
    splits: identifier → split of all, which stay there when bad ones are left out."""

    images: int
    quarantined: dict[str, str]
    splits: dict[str, str] = field(default_factory=dict)


def sort_out(settings: DataSettings, progress: Progress) -> Intake:
    """Read every file and tell sound images from bad ones, which are to be left out.

    Raises DataError where more than MOST_BAD are bad, and for errors that belong to no image.
    """
    dataset = load_settings(settings, lenient=True)
    bad = {problem.id: str(problem) for problem in dataset.problems if problem.id is not None}
    report = check(dataset.without(bad), progress=progress)
    for problem in report.errors:
        if problem.id is not None:
            bad.setdefault(problem.id, str(problem))
    total = len({item.id for item in dataset} | bad.keys())
    if len(bad) > MOST_BAD * total:
        shown = "; ".join(list(bad.values())[:SHOWN])
        raise DataError(
            f"{dataset.root}: {len(bad)} of {total} images are bad, more than {MOST_BAD:.0%}; "
            f"check that the folder is mounted and whole. The first: {shown}"
        )
    for problem in report.errors:
        if problem.id is None:
            raise DataError(str(problem))
    splits = {item.id: item.split for item in dataset}
    return Intake(total - len(bad), dict(sorted(bad.items())), splits)
