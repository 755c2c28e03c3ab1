"""The sections on the real images and on how the segmenters learned."""

from __future__ import annotations

from typing import Any

from vesselforge.engine.documents import records
from vesselforge.pipeline.models.score_rows import titled
from vesselforge.pipeline.run_works import LEAST_GAIN
from vesselforge.report.charts import Line, curve, lines
from vesselforge.report.formatting import (
    ABSENT,
    counted,
    fixed,
    number,
    plain,
    signed,
    spoken,
)
from vesselforge.report.page import Block, Figures, Note, Section, Table, Text, group
from vesselforge.report.pictures import labelled_pair
from vesselforge.report.run.run_reading import Run, View, mapping

_LOSS = "Training loss. The losses of different data are not comparable with each other."
_F1 = "F1 on the validation images, on which the checkpoint and the threshold are chosen."
MOST_CHECK_ROWS, SHA_DIGITS = 60, 12


def training_section(run: Run) -> Section:
    """Rounds, where each training ended, and its curves."""
    ends = training_table(run)
    blocks = [rounds_table(run), ends, Figures(training_charts(run))]
    return Section("training", "Training", blocks, "No segmenter has been trained yet.")


def training_charts(run: Run) -> list[Any]:
    """Training loss, validation F1 and learning rate of every segmenter."""
    curves: dict[str, list[Line]] = {"loss": [], "f1": [], "lr": []}
    trainings = [(n, view) for n, view in run.named() if view.kind == "segmenter.train"]
    for slot, (name, view) in enumerate(trainings):
        log = view.lines("log.jsonl")
        log += [row["validation"] | {"step": row["step"]} for row in log if "validation" in row]
        for key, found in curves.items():
            found.append(Line(spoken(name), *curve(log, "step", key), slot))
    return [
        lines(curves["loss"], "optimiser steps", "training loss", _LOSS),
        lines(curves["f1"], "optimiser steps", "validation F1", _F1),
        lines(curves["lr"], "optimiser steps", "learning rate", "Learning rate."),
    ]


def rounds_table(run: Run) -> Table | None:
    """Every round in which a student was trained, kept or not; None for a run of one round.

    A round is kept when its student beats the best before it by LEAST_GAIN on the validation
    images, as `pipeline.run_works.improve` decides; the first always is.
    """
    if len(run.rounds) < 2:
        return None
    rows: list[list[str]] = []
    best: float | None = None
    teacher = "teacher"
    entries = records(run.record["artifacts"]["rounds"])
    for i, (entry, made, kept) in enumerate(zip(entries, run.rounds, run.kept, strict=True), 1):
        student = made.get("student")
        own = mapping(student.metrics, "validation").get("f1") if student else None
        f1 = number(entry.get("validation_f1", own))
        gain = None if f1 is None or best is None else f1 - best
        changed = i == 1 or entry.get("generator") != entries[i - 2].get("generator")
        generator = "trained" if i == 1 else "fine-tuned" if changed else "as before"
        verdict = "yes" if kept else "no"
        rows.append([str(i), teacher, generator, fixed(f1), signed(gain), verdict])
        if kept:
            best, teacher = f1, f"student of round {i}"
    note = (
        "Decided on the validation images; the test images have no say. A further round is kept "
        f"when F1 rises by more than {LEAST_GAIN:g}."
    )
    head = ["Round", "Labels by", "Generator", "Validation F1", "Above the best before", "Kept"]
    return Table("Rounds", head, rows, note)


def training_table(run: Run) -> Table:
    """Where each training ended, on validation images."""
    dropped = {f"student-{i}" for i, kept in enumerate(run.kept, 1) if not kept}
    rows = []
    for name, view in run.named():
        if view.kind == "segmenter.train":
            rows.append(_training_row(f"{name} (not kept)" if name in dropped else name, view))
        elif view.kind == "segmenter.ensemble":
            rows.append(_training_row(titled(name, {"rule": view.metrics}), view))
    return Table.of("Chosen on the validation images", rows)


def _training_row(name: str, view: View) -> dict[str, str]:
    found = mapping(view.metrics, "validation")
    model = view.json("model.json") or view.json("ensemble.json")
    return {
        "Model": spoken(name),
        "Network": _networks(model) or ABSENT,
        "Best step": counted(view.metrics.get("best_step")),
        "Steps": counted(view.metrics.get("steps")),
        "Parameters": counted(model.get("parameters")),
        "F1": fixed(found.get("f1")),
        "AUC": fixed(found.get("auc")),
        "Threshold": fixed(found.get("threshold"), 3),
    }


def _networks(model: dict[str, Any]) -> str:
    """`sa-unet`, or `3 × sa-unet` for an ensemble."""
    members = [str(m["network"]) for m in records(model.get("members")) if m.get("network")]
    several = f"{len(members)} × " if len(members) > 1 else ""
    return several + ", ".join(dict.fromkeys(members))


def dataset_section(run: Run) -> Section:
    """What the check counted and noted, and a few training images with their masks."""
    views = [run.artifacts[name] for name in ("development", "test") if name in run.artifacts]
    checks = [view.json("check.json") for view in views]
    problems = [
        f"{plain(problem.get('file'))}: {plain(problem.get('sentence'))}"
        for check in checks
        for problem in records(check.get("problems"))
    ]
    none = "" if problems else "The check found no problem in the files."
    blocks = [
        *dataset_pictures(run),
        Note("The check noted", list(dict.fromkeys(problems))),
        *dataset_tables(checks),
        Text(none, "quiet"),
    ]
    return Section("dataset", "Dataset", blocks if views else [], "No prepared images yet.")


def dataset_tables(checks: list[dict[str, Any]]) -> list[Table]:
    """What `data check` counted: a line a split, and a line an image."""
    splits = [row for check in checks for row in records(check.get("splits")) if row.get("images")]
    images = [row for check in checks for row in records(check.get("images"))]
    left = f"The first {MOST_CHECK_ROWS} of {len(images)} images."
    note = left if len(images) > MOST_CHECK_ROWS else ""
    rows = [_plain_row(row) for row in images[:MOST_CHECK_ROWS]]
    return [
        Table.of("Splits", [_plain_row(row) for row in splits]),
        Table.of("Images", rows, note=note, sortable=True),
    ]


def _plain_row(row: dict[str, Any]) -> dict[str, str]:
    """A JSON row as text; hashes are cut to what an eye can compare."""
    return {spoken(k): plain(v)[: SHA_DIGITS if k == "sha256" else None] for k, v in row.items()}


def dataset_pictures(run: Run, most: int = 3) -> list[Block]:
    """A few training images with their vessel masks."""
    shown = []
    view = run.artifacts.get("development")
    if view is None:
        return []
    for item in view.items("train")[:most]:
        image, mask = view.picture(item["image"]), view.picture(item.get("mask"))
        alt = f"Training image {item['id']} and its vessel mask"
        shown.append(labelled_pair(image, mask, alt, str(item["id"])))
    title = "First training images, and the same with their vessel mask"
    return group(title, Figures(shown, "pairs"))
