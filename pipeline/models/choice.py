"""Which model of a run serves: the one that the validation images say is best. Test scores have no
say, so that they stay honest for the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vesselforge.configs.errors import WorkspaceError

FINAL = "final"
"""Role of the model that a run of real images alone trains for use, on all but the validation
images; nothing is left to choose it by, or to score it on."""
START, TUNED = "start", "fine-tuned"
"""What a training began with and what it made of it, where they are scored beside each other."""
WHOLE = "whole"
"""Role of the images of that model."""
Choice = dict[str, Any]
"""`model`, the role that serves; `validation_f1`, role → F1 of each that could have."""


def choose(f1: Mapping[str, float | None]) -> Choice:
    """The choice that a run's record keeps. f1: role → F1 on the validation images, simplest model
    first, which wins where they are equal; None for one that has none."""
    known = {role: value for role, value in f1.items() if value is not None}
    best = max(known, key=lambda role: known[role]) if known else next(iter(f1))
    return {"model": best, "validation_f1": dict(f1)}


def chosen(record: Mapping[str, Any], model: str | None = None, single: bool = False) -> str:
    """The role of the model of a run that serves.

    record: run.json. model: `teacher`, `student` or `ensemble`, if one was asked for; single: an
    ensemble does not do.
    Raises WorkspaceError for a run that has not ended, and for a model that it has not.
    """
    choice = record.get("chosen")
    of_fold = record.get("artifacts", {}).get("fold-0/teacher")
    if of_fold and not choice:
        raise WorkspaceError(
            "this run is a cross-validation, which has models for each fold and none to use; run "
            "the config without data.folds, or give the folder of one of them, such as "
            f"{'/'.join(['store', *of_fold])} in its workspace"
        )
    if not isinstance(choice, dict) or not choice.get("validation_f1"):
        raise WorkspaceError("this run has no model to use yet; `vesselforge run` goes on")
    f1 = choice["validation_f1"]
    if model is not None:
        found = [role for role in f1 if role.partition("-")[0] == model]
        if not found:
            raise WorkspaceError(f"this run has no {model}; it has: {', '.join(f1)}")
        return str(found[-1])
    if single and choice["model"].startswith("ensemble"):
        return str(choose({r: v for r, v in f1.items() if not r.startswith("ensemble")})["model"])
    return str(choice["model"])


def in_words(choice: Choice) -> str:
    """What was chosen, why, and by which figures; for people."""
    model, f1 = choice["model"], choice["validation_f1"]
    each = ", ".join(f"{r} {'–' if v is None else f'{v:.4f}'}" for r, v in f1.items())
    if model == FINAL:
        return (
            "“predict” uses the final model, trained like the one scored here on all images but "
            f"those of the validation (F1 there: {each})."
        )
    if len(f1) == 1:
        return f"“predict” uses the {model}, the only model of this run (validation F1: {each})."
    return f"“predict” uses the {model}: it is best on the validation images (F1: {each})."
