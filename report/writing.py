"""The page of a run or a study, written beside its record."""

from __future__ import annotations

from pathlib import Path

from vesselforge.engine.files import write_atomic
from vesselforge.engine.store import Store, explained
from vesselforge.pipeline.record import REPORT, STUDY, record_of


def report_on(folder: Path, store: Store) -> Path:
    """Write the page of a run or a study.

    Of a failed or running run it shows what exists and says what does not. Raises WorkspaceError
    when the folder holds no run.
    """
    record = record_of(folder)
    if record.get("flow") == STUDY:  # pictures and charts load only where a page is written
        from vesselforge.report.study.study_page import study_page

        made = study_page(folder, record)
    else:
        from vesselforge.report.run.run_page import run_page

        made = run_page(record, store)
    page = folder / REPORT
    with explained(page):
        write_atomic(page, made.render())
    return page
