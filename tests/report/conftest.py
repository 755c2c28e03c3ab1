from __future__ import annotations

from typing import Any, TextIO

import pytest

from vesselforge.report.charts import HEIGHT_PX, WIDTH_PX


@pytest.fixture
def bare_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are left empty, where a page is read for its words: each takes a third of a second."""

    def save(_: Any, stream: TextIO, **options: Any) -> None:
        stream.write(f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"></svg>')

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
