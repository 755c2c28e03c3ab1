"""The report of a run: one HTML page that needs nothing but itself.

It is made from run.json and finished artifacts alone, so it can be written again at any time, and
the same files give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from vesselforge.engine.files import write_atomic
from vesselforge.engine.store import Store, explained

REPORT_VERSION = 5
"""Raise it whenever the page changes for the same files."""
REPORT = "report.html"


def write_report(run_folder: Path, store: Store) -> Path:
    """Write `<run_folder>/report.html` and return its path.

    Of a failed or running run it shows what exists and says what does not. Raises WorkspaceError
    when the folder holds no run.
    """
    from vesselforge.report.run.run_page import (
        render,  # pictures and plots load only where a page is written
    )
    from vesselforge.report.run.run_reading import read_run

    page = render(read_run(run_folder, store), REPORT_VERSION)
    path = run_folder / REPORT
    with explained(path):
        write_atomic(path, page)
    return path
