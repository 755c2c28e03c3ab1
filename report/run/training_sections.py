"""The sections on the real images and on how the segmenters learned."""

from __future__ import annotations

from typing import Any

from vesselforge.engine.documents import records
from vesselforge.pipeline.models.score_rows import titled
from vesselforge.pipeline.run.run_works import LEAST_GAIN, in_round
from vesselforge.report.charts import Line, curve, lines
from vesselforge.report.formatting import ABSENT, counted, fixed, plain, spoken
from vesselforge.report.page import Block, Figures, Note, Section, Table, Text, group
from vesselforge.report.pictures import labelled_pair
from vesselforge.report.run.run_reading import Run, mapping

_LOSS = "Training loss. The losses of different data are not comparable with each other."
_PICTURES = "First training images, and the same with their vessel mask"
MOST_PICTURES = 3
_F1 = "F1 on the validation images, on which the checkpoint and the threshold are chosen."


def training_section(run: Run) -> Section:
    """Rounds, where each training ended, and its curves."""
    ends = training_table(run)
    blocks: list[Block | None] = [rounds_table(run), ends, Figures(training_charts(run))]
    return Section("training", "Training", blocks, "No segmenter has been trained yet.")


def rounds_table(run: Run) -> Table | None:
    """Every round in which a student was trained, kept or not; None for a run of one round."""
    if len(run.f1) < 2:
        return None
    rows = [
        {
            "Round": str(place),
            "Labels by": spoken(in_round("student", place - 1)) if place > 1 else "teacher",
            "Validation F1": fixed(f1),
            "Kept": "yes" if place <= run.kept else "no",
        }
        for place, f1 in enumerate(run.f1, 1)
    ]
    note = (
        f"A further round is kept when F1 on the validation images rises by more than {LEAST_GAIN}"
        "; the test images have no say. Images and labels shown are those of the last one kept."
    )
    return Table("Rounds", rows, note)


def training_charts(run: Run) -> list[Any]:
    """Training loss and validation F1 of every segmenter."""
    curves: dict[str, list[Line]] = {"loss": [], "f1": []}
    trainings = [(n, view) for n, view in run.artifacts.items() if view.kind == "segmenter.train"]
    for slot, (name, view) in enumerate(trainings):
        log = view.lines("log.jsonl")
        log += [row["validation"] | {"step": row["step"]} for row in log if "validation" in row]
        for key, found in curves.items():
            found.append(Line(spoken(name), *curve(log, "step", key), slot))
    return [
        lines(curves["loss"], "optimiser steps", "training loss", _LOSS),
        lines(curves["f1"], "optimiser steps", "validation F1", _F1),
    ]


def training_table(run: Run) -> Table:
    """Where each training ended, and each ensemble, on validation images."""
    rows = []
    for role, view in run.artifacts.items():
        if view.kind not in ("segmenter.train", "segmenter.ensemble"):
            continue
        found = mapping(view.metrics, "validation")
        model = view.json("model.json") or view.json("ensemble.json")
        members = [str(m["network"]) for m in records(model.get("members")) if m.get("network")]
        several = f"{len(members)} × " if len(members) > 1 else ""
        rows.append(
            {
                "Model": spoken(titled(role, {"rule": view.metrics})),
                "Network": several + ", ".join(dict.fromkeys(members)) or ABSENT,
                "Best step": counted(view.metrics.get("best_step")),
                "Steps": counted(view.metrics.get("steps")),
                "Parameters": counted(model.get("parameters")),
                "F1": fixed(found.get("f1")),
                "AUC": fixed(found.get("auc")),
                "Threshold": fixed(found.get("threshold"), 3),
            }
        )
    return Table("Chosen on the validation images", rows)


def dataset_section(run: Run) -> Section:
    """What the check counted and noted, and a few training images with their masks."""
    views = {
        (fold, name): part.artifacts[name]
        for fold, part in (run.folds or {"": run}).items()
        for name in ("development", "test")
        if name in part.artifacts
    }
    lines = [
        f"{plain(row.get('file'))}: {plain(row.get('sentence'))}"
        for view in views.values()
        for row in records(view.json("check.json").get("problems"))
    ]
    shown = [
        ({"Fold": fold} if fold else {})
        | {spoken(name): plain(value) for name, value in row.items()}
        for (fold, _), view in views.items()
        for row in records(view.json("check.json").get("splits"))
        if row.get("images")
    ]
    none = "" if lines else "The check found no problem in the files."
    pictures = []
    for first in list(views.values())[:1]:
        for item in first.items("train")[:MOST_PICTURES]:
            image, mask = first.picture(item["image"]), first.picture(item.get("mask"))
            alt = f"Training image {item['id']} and its vessel mask"
            pictures.append(labelled_pair(image, mask, alt, str(item["id"])))
    blocks = [
        *group(_PICTURES, Figures(pictures, "pairs")),
        Note("The check noted", list(dict.fromkeys(lines))),
        Table("Splits", shown),
        Text(none, "quiet"),
    ]
    return Section("dataset", "Dataset", blocks if views else [], "No prepared images yet.")
