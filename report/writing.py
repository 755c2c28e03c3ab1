"""When a run's HTML report is written: whenever what it is made from has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vesselforge.engine.files import file_sha256, write_atomic
from vesselforge.engine.store import Store
from vesselforge.pipeline.record import REPORT, STUDY, record_of
from vesselforge.pipeline.study.schema import RESULTS

MARK = ".report"
"""Beside the report: the hash of what it was made from."""


def report_on(folder: Path, store: Store, force: bool = False) -> Path:
    """The run's report, written now unless the one that is there is of the same content.

    Loads matplotlib only when it writes.
    """
    page = folder / REPORT
    basis = _basis(folder)
    mark = folder / MARK
    if not force and page.is_file() and mark.is_file() and mark.read_text() == basis:
        return page
    if record_of(folder).get("flow") == STUDY:
        from vesselforge.report.study import write_study_page

        page = write_study_page(folder)
    else:
        from vesselforge.report import write_report

        page = write_report(folder, store)
    write_atomic(mark, basis)
    return page


def _basis(folder: Path) -> str:
    """Hash of the artifacts, the settings, a study's results and the page's version, but not of
    times."""
    from vesselforge.report import REPORT_VERSION
    from vesselforge.report.study import STUDY_PAGE_VERSION

    record = record_of(folder)
    parts = [REPORT_VERSION, record["artifacts"], record["config"]]
    if record.get("flow") == STUDY:
        results = folder / RESULTS
        content = file_sha256(results) if results.is_file() else None
        parts += [STUDY_PAGE_VERSION, record.get("arms"), content]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
