"""Every text that a page takes from files, spoiled at once: all of it stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fake_run import FakeRun
from fake_study import FakeStudy
from page_reader import Page

from vesselforge.engine.store import Store
from vesselforge.pipeline.study.schema import Results
from vesselforge.report.writing import report_on

EVIL = """'"><x-evil onevil=1></script></style></svg><!--$x_{&"""
RECORD_KEEPS = ("kind", "digest", "status", "flow", "artifacts", "started", "finished")
RESULTS_KEEP = (
    "id", "arm", "baseline", "against", "primary_arms", "verdict", "picture", "nearest", "metric",
    "region", "reseed", "order", "strength", "labels", "status",
)  # fmt: skip


FREE = ("config", "reasons")
"""Whose keys may be anything, too."""


def spoiled(value: Any, keep: tuple[str, ...], keys: bool = False) -> Any:
    """EVIL before every string below, but those under keys to keep, which nobody chooses."""
    if isinstance(value, dict):
        return {
            (EVIL if keys else "") + k: v if k in keep else spoiled(v, keep, keys or k in FREE)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [spoiled(inner, keep, keys) for inner in value]
    return EVIL + value if isinstance(value, str) else value


def spoil(path: Path, keep: tuple[str, ...]) -> None:
    path.write_text(json.dumps(spoiled(json.loads(path.read_text()), keep)))


def harmless(html: str) -> Page:
    """The page, in which EVIL is text only."""
    page = Page(html)
    assert page.faults == []
    assert not [tag for tag, _ in page.elements if tag.startswith("x-")]
    assert not [names for _, names in page.elements if "onevil" in names]
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "<x-evil" not in html and "<!--$" not in html
    return page


def test_the_page_of_a_run(tmp_path: Path) -> None:
    ids = tuple(f"{EVIL}{number}" for number in range(3))
    run = FakeRun(tmp_path / "ws", ids=ids).build()
    spoil(run.folder / "run.json", RECORD_KEEPS)
    for path in (tmp_path / "ws/store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        for part in ("settings", "versions", "device", "metrics"):
            manifest[part] = spoiled(manifest.get(part, ""), ())
        path.write_text(json.dumps(manifest))
    page = harmless(report_on(run.folder, run.store, force=True).read_text())
    assert page.text.count("<x-evil onevil=1>") > 50


def test_the_page_of_a_study(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path / "study", counts=(50, 200), orders=("mixed",), declared=True)
    study.build()
    spoil(study.folder / "run.json", RECORD_KEEPS)
    spoil(study.folder / "results.json", RESULTS_KEEP)
    Results.model_validate_json((study.folder / "results.json").read_text())
    page = harmless(report_on(study.folder, Store(tmp_path)).read_text())
    assert page.text.count("<x-evil onevil=1>") > 50
