"""The sections on how the models came to be: dataset, generator, pseudo-labels, training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vesselforge.engine.documents import records
from vesselforge.report.figures import Figure, Line, curve, histogram, lines
from vesselforge.report.pictures import Picture, labelled_pair, opened, picture
from vesselforge.report.run.quality import Quality, quality_of
from vesselforge.report.run.run_reading import Run, View, mapping
from vesselforge.report.run.snapshots import snapshot_figures, survivors
from vesselforge.report.tables import Table, fixed, flat, number, plain, spoken

GAN_PANELS = (
    ("Losses", "loss", ("loss_g", "loss_d")),
    ("Discriminator output", "mean logit", ("scores_real", "scores_fake")),
    ("Penalties", "penalty", ("r1", "r1_penalty", "pl", "path_penalty")),
    ("Adaptive augmentation", "p, sign of D(real)", ("p", "sign_real", "r_t")),
)
GAN_NAMES = {
    "loss_g": "generator",
    "loss_d": "discriminator",
    "scores_real": "real images",
    "scores_fake": "generated images",
    "r1": "R1",
    "r1_penalty": "R1",
    "pl": "path length",
    "path_penalty": "path length",
    "p": "augmentation strength p",
    "sign_real": "mean sign of D(real)",
    "r_t": "mean sign of D(real)",
}
CHECK_ORDER = ("id", "split", "images", "labelled", "observers", "sizes", "height", "width")
MOST_CHECK_ROWS = 60


def dataset_tables(run: Run) -> list[Table]:
    """What `data check` counted: a line a split, and a line an image."""
    reports = _checks(run)
    splits = _rows([row for r in reports for row in records(r.get("splits")) if row.get("images")])
    images = _rows([row for r in reports for row in records(r.get("images"))])
    tables = [Table("Splits", *splits)] if splits[1] else _fact_tables(run)
    if images[1]:
        most, count = MOST_CHECK_ROWS, len(images[1])
        note = f"The first {most} of {count} images." if count > most else ""
        tables.append(Table("Images", images[0], images[1][:most], sortable=True, note=note))
    return tables


def _checks(run: Run) -> list[dict[str, Any]]:
    views = [run.artifacts[name] for name in ("development", "test") if name in run.artifacts]
    found = [view.json("check.json") for view in views]
    return [report for report in found if isinstance(report, dict)]


def _rows(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of JSON rows; hashes are cut to what an eye can compare."""
    there = dict.fromkeys(key for row in rows for key in row)
    head = [
        *(key for key in CHECK_ORDER if key in there),
        *(k for k in there if k not in CHECK_ORDER),
    ]
    cells = [
        [plain(row.get(key))[:12] if key == "sha256" else plain(row.get(key)) for key in head]
        for row in rows
    ]
    return [spoken(key) for key in head], cells


def _fact_tables(run: Run) -> list[Table]:
    tables = []
    for name in ("development", "test"):
        view = run.artifacts.get(name)
        facts = [[spoken(k), plain(v)] for k, v in flat(view.metrics)] if view else []
        if facts:
            tables.append(Table(f"{name.capitalize()} images", ["Fact", "Value"], facts))
    return tables


def dataset_problems(run: Run) -> list[str]:
    """What `data check` complained about."""
    found = []
    for report in _checks(run):
        for problem in records(report.get("problems")):
            text = f"{plain(problem.get('file'))}: {plain(problem.get('sentence'))}"
            if text not in found:
                found.append(text)
    return found


def dataset_pictures(run: Run, most: int = 3) -> list[Picture]:
    """A few training images with their vessel masks."""
    view = run.artifacts.get("development")
    items = _items(view, "train")[:most]
    made = []
    for item in items:
        image, mask = _opened(view, item.get("image")), _opened(view, item.get("mask"))
        id_ = str(item.get("id"))
        made.append(labelled_pair(image, mask, f"Training image {id_} and its vessel mask", id_))
    return [p for p in made if p is not None]


def _items(view: View | None, split: str | None = None) -> list[dict[str, Any]]:
    items = records(mapping(view.json("index.json") if view else None).get("items"))
    return [item for item in items if split is None or item.get("split") == split]


def _opened(view: View | None, name: Any) -> Any:
    return opened(view.read(str(name))) if view is not None and name else None


@dataclass(frozen=True)
class GeneratorPart:
    """One round of the GAN: grids, curves, scores."""

    grids: list[Picture]
    progress: list[Picture]
    figures: list[Figure]
    quality: Quality


def generator_part(round_: dict[str, View]) -> GeneratorPart:
    generator, samples = round_.get("generator"), round_.get("samples")
    grids = [
        picture(_opened(generator, "reals.png"), "Grid of real training views", "Real", 900),
        picture(_opened(samples, "grid.png"), "Grid of generated images", "Synthetic", 900),
    ]
    return GeneratorPart(
        [p for p in grids if p is not None],
        _progress(generator),
        generator_figures(generator),
        quality_of(round_),
    )


def _progress(view: View | None, most: int = 4) -> list[Picture]:
    """The sample grids of training, evenly picked, first and last among them."""
    names = view.names("grid", ".png") if view else []
    if len(names) > most:
        names = [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]
    found = []
    for name in names:
        label = name.removesuffix(".png").removeprefix("grid").strip("-_ ").lstrip("0")
        alt = f"Grid of samples after {label} steps"
        found.append(picture(_opened(view, name), alt, f"after {label} steps", side=420))
    return [p for p in found if p is not None]


def generator_figures(view: View | None) -> list[Figure]:
    """Whatever the log holds: scores of snapshots, losses, penalties, augmentation; over thousands
    of images shown."""
    if view is None:
        return []
    log = survivors(view.lines("log.jsonl"))
    unit = "kimg" if any("kimg" in row for row in log) else "step"
    x_label = "real images shown (thousands)" if unit == "kimg" else "steps"
    figures = []
    for title, y_label, names in GAN_PANELS:
        there = [name for name in names if any(name in row for row in log)]
        curves = [Line(GAN_NAMES[n], *curve(log, unit, n), slot) for slot, n in enumerate(there)]
        target = (
            number(view.settings.get("ada_target")) if len(there) > 1 and "p" in there else None
        )
        level = None if target is None else (target, f"target {target:g}")
        log_y = title == "Penalties"
        figures.append(lines(curves, x_label, y_label, f"{title}.", level=level, log_y=log_y))
    return [*snapshot_figures(log, unit, x_label), *(f for f in figures if f is not None)]


WHOSE_LABELS = {
    "teacher": "what the teacher sees in them; they are no better than the teacher.",
    "own": "the masks that came with them; no teacher was asked.",
    "agreement": "the masks that came with them, as far as the teacher agrees.",
}
TURNED = "Every one was turned by 180°, as a negative control."


@dataclass(frozen=True)
class LabelPart:
    """One round of pseudo-labels."""

    whose: str
    facts: Table | None
    reasons: Table | None
    figure: Figure | None
    kept: list[Picture]
    rejected: list[Picture]


def label_part(view: View | None) -> LabelPart | None:
    if view is None:
        return None
    found, rows = view.metrics, view.table("labels.csv")
    facts = [[spoken(k), plain(v)] for k, v in found.items() if k != "reasons"]
    reasons = [[spoken(str(k)), plain(v)] for k, v in mapping(found, "reasons").items()]
    return LabelPart(
        _whose(view.settings),
        Table("Pseudo-labels", ["Fact", "Value"], facts) if facts else None,
        Table("Why images were rejected", ["Reason", "Images"], reasons) if reasons else None,
        _confidence_figure(view, rows),
        _examples(view, rows, "train"),
        _examples(view, rows, "rejected"),
    )


def _whose(settings: Mapping[str, Any]) -> str:
    kind = WHOSE_LABELS.get(str(settings.get("labels")), WHOSE_LABELS["teacher"])
    turned = f" {TURNED}" if settings.get("turned_masks") else ""
    return f"Labels of the synthetic images are {kind}{turned}"


def _confidence_figure(view: View, rows: list[dict[str, str]]) -> Figure | None:
    groups: dict[str, list[float]] = {"kept": [], "rejected": []}
    for row in rows:
        value = number(row.get("confidence"))
        if value is not None:
            groups["kept" if _kept(row) else "rejected"].append(value)
    limit = number(view.settings.get("min_confidence")) or None  # 0 limits nothing
    caption = "The teacher's confidence in its own labels; images left of the limit are rejected."
    return histogram(groups, "confidence", "images", caption, limit)


def _kept(row: dict[str, str]) -> bool:
    return row.get("kept", "").strip().lower() in ("1", "true", "yes")


def _examples(view: View, rows: list[dict[str, str]], split: str, most: int = 6) -> list[Picture]:
    """Examples evenly spaced from the most to the least confident: none is hand-picked."""
    by_id = {row.get("id", ""): row for row in rows}
    items = _items(view, split)
    items.sort(key=lambda item: (-(number(item.get("confidence")) or 0), str(item.get("id"))))
    if len(items) > most:
        items = [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
    found = []
    for item in items:
        id_ = str(item.get("id"))
        label = _opened(view, item.get("soft") or item.get("mask"))
        reason = by_id.get(id_, {}).get("reason", "")
        sure = number(item.get("confidence"))
        caption = id_ if sure is None else f"{id_}, confidence {fixed(sure, 3)}"
        if split == "rejected" and reason:
            caption = f"{id_}: {reason}"
        alt = f"Synthetic image {id_} and its pseudo-label"
        found.append(labelled_pair(_opened(view, item.get("image")), label, alt, caption))
    return [p for p in found if p is not None]
