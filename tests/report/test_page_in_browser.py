"""The page of a study in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fake_study import FakeStudy
from page_reader import Page
from PIL import Image

from vesselforge.engine.store import Store
from vesselforge.report.writing import report_on

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH")


def browse(tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """One headless visit, with a profile of its own so that visits cannot meet."""
    found = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    study = FakeStudy(folder, counts=(50, 200), orders=("mixed",)).build()
    return report_on(study.folder, Store(folder))


def test_scripts_run_and_nothing_is_blocked(page: Path, tmp_path: Path) -> None:
    visit = browse(tmp_path, page, "--dump-dom")
    errors = [line for line in visit.stderr.splitlines() if "CONSOLE" in line]
    assert errors == []
    dom = Page(visit.stdout)
    assert "Gain in 1 of 2 comparisons" in dom.text
    buttons = sum(tag == "button" for tag, _ in dom.elements)
    assert buttons > 20  # page.js made the heads of all sortable tables clickable
    fields = [a for tag, a in dom.elements if tag == "input"]
    assert len(fields) == visit.stdout.count(' tall"') > 0
    assert ' wide"' in visit.stdout  # what is wider than the window says that it scrolls


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (500, 900)])
def test_the_page_is_painted_and_fits_its_window(
    page: Path, tmp_path: Path, width: int, height: int
) -> None:
    picture = tmp_path / "page.png"
    browse(tmp_path, page, f"--window-size={width},{height}", f"--screenshot={picture}")
    with Image.open(picture) as shown:
        assert shown.width == width
        pixels = np.asarray(shown.convert("L"), float)
    assert pixels.std() > 10
    assert (pixels < 100).mean() > 0.005  # there is text


def test_nothing_is_wider_than_a_narrow_window(page: Path, tmp_path: Path) -> None:
    probe = "<script>document.title = 'width ' + document.documentElement.scrollWidth</script>"
    copy = tmp_path / "probe.html"
    copy.write_text(page.read_text().replace("</body>", probe + "</body>"))
    dom = browse(tmp_path, copy, "--window-size=500,900", "--dump-dom").stdout
    assert "<title>width 500</title>" in dom
