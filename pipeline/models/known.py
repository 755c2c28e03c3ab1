"""Every model that a name stands for: those that come along, and those of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from vesselforge import pretrained
from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.pipeline.models.choice import in_words
from vesselforge.pipeline.models.publish_finetuned import card_rows, cards, score_lines
from vesselforge.pipeline.models.registry import known_registry, lines
from vesselforge.pipeline.models.score_rows import event_rows, line_rows, model_rows, version_rows
from vesselforge.pipeline.places import (
    RECORD,
    REGISTRY,
    named_lines,
    named_models,
    named_runs,
    no_such,
    run_folder,
    runs_in,
)
from vesselforge.pipeline.record import record_of

Rows = list[dict[str, Any]]


class Known(NamedTuple):
    """For programs, and for people: tables by title, then lines."""

    content: Any
    tables: dict[str, Rows]
    said: list[str]


def all_models(workspace: Path) -> Known:
    """A row each. Raises WorkspaceError for a damaged registry or card; a damaged record of a run
    is a row that says so."""
    kept, tuned = lines(workspace), cards(workspace)
    runs = [run_row(run_folder(workspace, name)) for name in named_runs(workspace)]
    content: dict[str, Any] = {
        f"{kind}s": {name: pretrained.card(name) for name in pretrained.names(kind)}
        for kind in pretrained.LIMITS
    }
    tables = {
        "segmenters that come along; F1 and AUC inside the FOV of test images": model_rows(
            "segmenter"
        ),
        "generators that come along; KID by the features that the card names": model_rows(
            "generator"
        ),
        f"lines of models in {workspace}": line_rows(kept),
        f"fine-tuned models in {workspace}": card_rows(tuned),
        f"runs in {workspace}": runs,
    }
    content |= {"lines": [line.model_dump(mode="json") for line in kept]}
    content |= {"finetuned": tuned, "runs": runs}
    none = (
        f"nothing in {workspace} yet: `vesselforge run CONFIG` trains a model, `finetune` fits one "
        "to your images, `retrain` keeps a line of versions"
    )
    return Known(content, tables, [] if kept or tuned or runs else [none])


def run_row(folder: Path) -> dict[str, Any]:
    """A run: how it ended, which of its models serves."""
    try:
        record = record_of(folder)
    except WorkspaceError as error:
        return {"name": folder.name, "status": str(error), "finished": None, "serves": None}
    choice = record.get("chosen") or {}
    row = {"name": folder.name, "status": record["status"], "finished": record.get("finished")}
    return row | {"serves": choice.get("model")}


def one_model(workspace: Path, given: str) -> Known:
    """What there is to tell of a line, a model or a run, by its name or its folder. Raises
    ConfigError for a name that none has, WorkspaceError for a damaged one."""
    if given in named_lines(workspace) or (Path(given) / REGISTRY).is_file():
        line = known_registry(workspace, given).read()
        tables = {f"versions of {line.name}": version_rows(line)}
        return Known(line.model_dump(mode="json"), tables | {"what happened": event_rows(line)}, [])
    for place in (Path(given).absolute(), workspace / "models" / given):
        if (place / pretrained.CARD).is_file():
            card = cards(place.parent.parent)[place.name]
            rows, about = score_lines(card)
            return Known(card, {about: rows}, [str(card["honest"])])
    if (kind := pretrained.kind_of(given) if given in pretrained.names() else None) is not None:
        rows = [row for row in model_rows(kind) if row["name"] == given]
        card_of_it = pretrained.folder(given) / "README.md"
        return Known(pretrained.card(given), {given: rows}, [f"its card: {card_of_it}"])
    for folder in (Path(given), run_folder(workspace, given)):
        if (folder / RECORD).is_file():
            record = record_of(folder)
            choice = record.get("chosen")
            serves = in_words(choice) if choice else "no model of it serves"
            return Known(record, {given: [run_row(folder)]}, [serves])
    known = {"with VesselForge come": pretrained.names()}
    known |= {f"models in {workspace}": named_models(workspace)} | runs_in(workspace)
    raise ConfigError(no_such("model or run", given, known))
