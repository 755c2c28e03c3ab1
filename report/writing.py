"""When the page of a run or a study is written: whenever what it is made from has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vesselforge.engine.files import file_sha256, write_atomic
from vesselforge.engine.store import Store, explained
from vesselforge.pipeline.record import REPORT, STUDY, record_of
from vesselforge.pipeline.study.schema import RESULTS

VERSION = 9
"""Raise it whenever a page changes for the same files."""
MARK = ".report"
"""Beside the page: the hash of what it was made from."""


def report_on(folder: Path, store: Store, force: bool = False) -> Path:
    """The page of a run or a study, written now unless the one there is of the same content
    (artifacts, settings, a study's results; not times): charts take three of the ten seconds of a
    run that finds everything done.

    Of a failed or running run it shows what exists and says what does not. Raises WorkspaceError
    when the folder holds no run.
    """
    record = record_of(folder)
    page, mark, results = folder / REPORT, folder / MARK, folder / RESULTS
    content = file_sha256(results) if results.is_file() else None
    parts = [VERSION, record["artifacts"], record["config"], record.get("arms"), content]
    basis = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    if not force and page.is_file() and mark.is_file() and mark.read_text() == basis:
        return page
    if record.get("flow") == STUDY:  # pictures and charts load only where a page is written
        from vesselforge.report.study.study_page import study_page

        made = study_page(folder, record)
    else:
        from vesselforge.report.run.run_page import run_page

        made = run_page(record, store)
    with explained(page):
        write_atomic(page, made.render())
        write_atomic(mark, basis)
    return page
