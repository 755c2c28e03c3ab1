"""The page of a study: what synthetic images did to the metric, arm by arm, and how sure that is.

It is made from the run folder alone (`results.json`, `run.json`, `per_image.csv`, `samples-*.png`,
`pictures/`), so it can be written again at any time, and the same files give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from vesselforge.engine.files import write_atomic
from vesselforge.engine.store import explained

STUDY_PAGE_VERSION = 4
"""Raise it whenever the page changes for the same files."""
PAGE = "report.html"


def write_study_page(folder: Path) -> Path:
    """Write `<folder>/report.html` and return its path.

    folder: the run folder of a study, with its `results.json`. What else is missing is said on
    the page. Raises WorkspaceError when `results.json` is absent or not the results of a study.
    """
    from vesselforge.report.study.study_page import (
        render,  # pictures and plots load only where one is written
    )
    from vesselforge.report.study.study_reading import read_study

    text = render(read_study(folder), STUDY_PAGE_VERSION)
    path = folder / PAGE
    with explained(path):
        write_atomic(path, text)
    return path
