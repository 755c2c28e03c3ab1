"""Notes on Prefect's pages never stop the work, nor hold it up."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from vesselforge.flows import notes


@pytest.mark.parametrize(
    ("error", "attempts"), [(httpx.ConnectError("refused"), 1), (ValueError("a key"), 2)]
)
def test_a_server_that_is_gone_is_let_alone(
    error: Exception, attempts: int, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    asked = []

    def create(*_: Any, **__: Any) -> None:
        asked.append(1)
        raise error

    monkeypatch.setattr(notes, "create_table_artifact", create)
    monkeypatch.setattr(notes, "_again", 0.0)
    for _ in range(2):
        notes.publish_table("arms", [], "arms")
    assert len(asked) == attempts
    assert "was not written" in caplog.text
    monkeypatch.setattr(notes, "_again", 0.0)  # as if minutes had gone by
    notes.publish_table("arms", [], "arms")
    assert len(asked) == attempts + 1
