"""Which model of a run serves: validation alone says so."""

from __future__ import annotations

from typing import Any

import pytest

from vesselforge.configs.errors import WorkspaceError
from vesselforge.pipeline.models.choice import choose, chosen, in_words


def record(**f1: float | None) -> dict[str, Any]:
    return {"chosen": choose({name.replace("_", "-"): value for name, value in f1.items()})}


@pytest.mark.parametrize(
    ("f1", "best"),
    [
        ({"teacher": 0.81, "student": 0.80, "ensemble": 0.805}, "teacher"),
        ({"teacher": 0.80, "student": 0.82, "ensemble": 0.81}, "student"),
        ({"teacher": 0.80, "student_2": 0.81, "ensemble": 0.82}, "ensemble"),
        ({"teacher": 0.8, "student": 0.8, "ensemble": 0.8}, "teacher"),  # the simplest of equals
        ({"teacher": None, "student": 0.5}, "student"),
        ({"teacher": None}, "teacher"),
    ],
)
def test_the_best_on_validation_serves(f1: dict[str, float | None], best: str) -> None:
    made = record(**f1)
    assert chosen(made) == best
    said = in_words(made["chosen"])
    assert f"uses the {best}" in said
    assert all(f"{value:.4f}" in said for value in f1.values() if value is not None)


def test_another_model_may_be_asked_for() -> None:
    made = record(teacher=0.7, student_2=0.8, ensemble=0.9)
    assert [chosen(made, name) for name in ("teacher", "student", "ensemble")] == [
        "teacher", "student-2", "ensemble",
    ]  # fmt: skip
    assert chosen(made, single=True) == "student-2"
    with pytest.raises(WorkspaceError, match="this run has no student; it has: teacher"):
        chosen(record(teacher=0.7), "student")


@pytest.mark.parametrize("damaged", [{}, {"chosen": None}, {"chosen": {"model": "teacher"}}])
def test_a_run_that_has_not_ended_has_none(damaged: dict[str, Any]) -> None:
    with pytest.raises(WorkspaceError, match="no model to use yet"):
        chosen(damaged)
