"""How the segmenters learned, and where everything came from."""

from __future__ import annotations

from typing import Any

from vesselforge.configs.base import Settings
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.documents import records
from vesselforge.pipeline.score_rows import titled
from vesselforge.report.figures import Figure, Line, curve, lines
from vesselforge.report.run.run_reading import Run, View, mapping
from vesselforge.report.tables import (
    ABSENT,
    Table,
    counted,
    duration,
    fixed,
    flat,
    number,
    plain,
    signed,
    spoken,
)


def trainings(run: Run) -> list[tuple[str, View]]:
    """Every segmenter training of the run, in its order."""
    return [(name, view) for name, view in run.named() if view.kind == "segmenter.train"]


def training_figures(run: Run) -> list[Figure]:
    """Training loss and validation F1 of teacher, pretraining and fine-tuning."""
    losses: list[Line] = []
    scores: list[Line] = []
    rates: list[Line] = []
    for slot, (name, view) in enumerate(trainings(run)):
        log = view.lines("log.jsonl")
        held_out = [
            {"step": row.get("step"), "f1": row["validation"].get("f1")}
            for row in log
            if isinstance(row.get("validation"), dict)
        ]
        for rows, key, curves in (
            (log, "loss", losses),
            (held_out, "f1", scores),
            (log, "lr", rates),
        ):
            curves.append(Line(spoken(name), *curve(rows, "step", key), slot))
    figures = (
        lines(losses, "optimiser steps", "training loss", _LOSS),
        lines(scores, "optimiser steps", "validation F1", _F1),
        lines(rates, "optimiser steps", "learning rate", "Learning rate."),
    )
    return [f for f in figures if f is not None]


_LOSS = "Training loss. The losses of different data are not comparable with each other."
_F1 = "F1 on the validation images, on which the checkpoint and the threshold are chosen."


def rounds_table(run: Run) -> Table | None:
    """Every round in which a student was trained, kept or not; None for a run of one round.

    A round is kept when its student beats the best before it by `iterate.min_gain` on the
    validation images, as `pipeline.run_works.improve` decides; the first always is.
    """
    if len(run.rounds) < 2:
        return None
    rows: list[list[str]] = []
    best: float | None = None
    teacher = "teacher"
    entries = records(mapping(run.record, "artifacts").get("rounds"))
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
    wanted = number(mapping(run.config, "iterate").get("min_gain"))
    rule = f" A further round is kept when F1 rises by more than {wanted:g}." if wanted else ""
    note = f"Decided on the validation images; the test images have no say.{rule}"
    head = ["Round", "Labels by", "Generator", "Validation F1", "Above the best before", "Kept"]
    return Table("Rounds", head, rows, note=note)


def training_table(run: Run) -> Table | None:
    """Where each training ended, on validation images."""
    rows = [
        _training_row(f"{name} (not kept)" if name in run.dropped else name, view)
        for name, view in trainings(run)
    ]
    for name, view in run.artifacts.items():
        if view.kind == "segmenter.ensemble":
            rows.append(_training_row(titled(name, {"rule": view.metrics}), view))
    head = ["Model", "Network", "Best step", "Steps", "Parameters", "F1", "AUC", "Threshold"]
    return Table("Chosen on the validation images", head, rows) if rows else None


def _training_row(name: str, view: View) -> list[str]:
    found = mapping(view.metrics, "validation")
    model = mapping(view.json("model.json") or view.json("ensemble.json"))
    counts = [view.metrics.get("best_step"), view.metrics.get("steps"), model.get("parameters")]
    return [
        spoken(name),
        _networks(model) or str(view.settings.get("network") or ABSENT),
        *map(counted, counts),
        *(fixed(found.get(m), d) for m, d in (("f1", 4), ("auc", 4), ("threshold", 3))),
    ]


def _networks(model: dict[str, Any]) -> str:
    """`sa-unet`, or `3 × sa-unet` for an ensemble."""
    members = [str(m["network"]) for m in records(model.get("members")) if m.get("network")]
    several = f"{len(members)} × " if len(members) > 1 else ""
    return several + ", ".join(dict.fromkeys(members)) if members else ""


def settings_tables(run: Run, kind: type[Settings] = PipelineConfig) -> list[Table]:
    """The whole configuration, stage by stage; a dot marks what differs from `kind`'s defaults."""
    defaults = kind.model_validate({}).model_dump(mode="json")
    order = [
        *(n for n in defaults if n in run.config),
        *(n for n in run.config if n not in defaults),
    ]
    tables, top = [], []
    for name in order:
        value, usual = run.config[name], defaults.get(name)
        if isinstance(value, dict):
            usual = dict(flat(usual)) if isinstance(usual, dict) else {}
            rows = [
                [key, plain(found) + (" ●" if key in usual and usual[key] != found else "")]
                for key, found in flat(value)
            ]
            tables.append(Table(spoken(name), _SETTINGS_HEAD, rows, align=False))
        else:
            top.append([name, plain(value)])
    return [Table("run", _SETTINGS_HEAD, top, align=False), *tables] if top else tables


_SETTINGS_HEAD = ["Setting", "Value"]


def stage_table(run: Run) -> Table | None:
    """Every step in the order it ran."""
    views = {view.digest: view for _, view in run.named()}
    rows = []
    for step in run.steps:
        digest = str(step.get("digest") or "")
        view = views.get(digest)
        rows.append(
            [
                spoken(str(step.get("step", ""))),
                str(step.get("kind", "")),
                digest or ABSENT,
                "yes" if step.get("reused") else "no",
                duration(step.get("seconds")),
                duration(view.manifest.get("seconds")) if view else ABSENT,
                (view.device if view else "") or ABSENT,
            ]
        )
    head = ["Step", "Stage", "Digest", "Reused", "In this run", "To make", "Device"]
    return Table("Steps of this run", head, rows) if rows else None


def version_table(run: Run) -> Table | None:
    """Versions of code and libraries, with the stages made under each."""
    by_versions: dict[str, list[str]] = {}
    for name, view in run.named():
        text = ", ".join(f"{k} {v}" for k, v in sorted(view.versions.items()))
        if text:
            by_versions.setdefault(text, []).append(spoken(name))
    rows = [[text, ", ".join(names)] for text, names in by_versions.items()]
    return Table("Versions", ["Made with", "Artifacts"], rows) if rows else None


def lineage(run: Run) -> list[dict[str, Any]]:
    """Every artifact and what it was made from, by name where the run has one."""
    names = {view.digest: name for name, view in run.named()}
    found = []
    for name, view in run.named():
        inputs = [
            {"role": spoken(role), "name": spoken(names[d]) if d in names else "", "digest": d}
            for role, d in view.inputs.items()
        ]
        found.append(
            {"name": spoken(name), "kind": view.kind, "digest": view.digest, "inputs": inputs}
        )
    return found
