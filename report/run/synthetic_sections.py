"""The sections on the synthetic images of a run: what they look like, and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vesselforge.report.charts import Level, Line, curve, lines
from vesselforge.report.formatting import fixed, number, plain, spoken
from vesselforge.report.page import (
    Block,
    Figure,
    Figures,
    Fold,
    Section,
    Table,
    Text,
    folded,
    group,
)
from vesselforge.report.pictures import labelled_pair, picture
from vesselforge.report.run.quality import quality_blocks
from vesselforge.report.run.run_reading import Run, View, mapping

Rows = list[dict[str, Any]]
GAN_CHARTS = (
    ("Losses.", "loss", {"loss_g": "generator", "loss_d": "discriminator"}),
    (
        "Adaptive augmentation.",
        "p, sign of D(real)",
        {"p": "augmentation strength p", "r_t": "mean sign of D(real)"},
    ),
)
"""Caption, name of the axis, and what is drawn: key of the log → name."""
STRUCTURE = {
    "components": "pieces",
    "ends": "ends",
    "branchings": "branchings",
    "in_range": "in range",
}
"""Figures of the masks of samples → how the chart calls them."""
HOW_TO_READ = (
    "FID and KID compare the statistics of features of real and of synthetic images; 0 would mean "
    "the same. FID against few images is biased: compare it only between runs with the same images "
    "and features. The floor of KID is what random parts of the real images score against each "
    "other. Neither sees whether a generator copies its training images: for that, each sample is "
    "compared with all training views, mirrored and turned ones too, and held-out images say how "
    "near is suspicious. Precision and density fall when samples look wrong, recall and coverage "
    "when there is too little variety."
)
WHOSE_LABELS = {
    "teacher": "what the teacher sees in them; they are no better than the teacher.",
    "own": "the masks that came with them; no teacher was asked.",
    "agreement": "the masks that came with them, as far as the teacher agrees.",
}
TURNED = "Every one was turned by 180°, as a negative control."
MOST_SHEETS, MOST_EXAMPLES = 4, 6


def synthetic_sections(run: Run) -> list[Section]:
    """What the images look like, and their labels."""
    images = generator_blocks(run)
    labelled = run.synthetic("labelled")
    labels = label_blocks(labelled) if labelled else []
    return [
        Section("generator", "Synthetic images", images, "No generator has been trained yet."),
        Section("labels", "Labels", labels, "No synthetic image has a label yet."),
    ]


def generator_blocks(run: Run) -> list[Block | None]:
    """Real and synthetic images, scores, and how the training went."""
    generator, samples = run.synthetic("generator"), run.synthetic("samples")
    if generator is None and samples is None:
        return []
    real = generator.picture("reals.png") if generator else None
    drawn = samples.picture("grid.png") if samples else None
    sheets = [
        picture(real, "Grid of real training views", "Real", 900),
        picture(drawn, "Grid of generated images", "Synthetic", 900),
    ]
    return [
        Figures(sheets, "pairs"),
        *quality_blocks(run),
        Figures(generator_charts(generator) if generator else []),
        Fold("Samples during training", [_progress(generator)] if generator else []),
        Text(HOW_TO_READ, "quiet"),
    ]


def _progress(view: View) -> Figures:
    """The sample grids of training, evenly picked, first and last among them."""
    shown = []
    for name in evenly(view.names("grid", ".png"), MOST_SHEETS):
        step = name.removesuffix(".png").removeprefix("grid").strip("-_ ").lstrip("0")
        alt = f"Grid of samples after {step} steps"
        shown.append(picture(view.picture(name), alt, f"after {step} steps", side=420))
    return Figures(shown, "pictures")


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """So many of them at even distances, first and last among them."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[round(place)] for place in places]


def generator_charts(view: View) -> list[Figure | None]:
    """Whatever the log holds: scores of snapshots, losses, penalties, augmentation; over thousands
    of images shown."""
    log = view.lines("log.jsonl")
    unit = "kimg" if any("kimg" in row for row in log) else "step"
    x_label = "real images shown (thousands)" if unit == "kimg" else "steps"
    charts = snapshot_charts(log, unit, x_label)
    target = number(view.manifest["settings"].get("ada_target"))
    for caption, y_label, names in GAN_CHARTS:
        curves = [
            Line(label, *curve(log, unit, n), i) for i, (n, label) in enumerate(names.items())
        ]
        levels = [Level(f"target {target:g}", target)] if "p" in names and target else []
        charts.append(lines(curves, x_label, y_label, caption, levels=levels))
    return charts


def snapshot_charts(log: Rows, unit: str, x_label: str) -> list[Figure | None]:
    """KID with its standard deviation above the floor, and where samples have masks the figures of
    these."""
    rows = [row for row in log if number(row.get("kid_mean")) is not None]
    x, kid = curve(rows, unit, "kid_mean")
    deviation = curve(rows, unit, "kid_std")[1]
    low, high = ([k + sign * d for k, d in zip(kid, deviation, strict=True)] for sign in (-1, 1))
    caption = "KID of the weight average against real views, ± 1 standard deviation."
    floor = []
    for row in [row for row in rows if "kid_floor_mean" in row][:1]:  # it is measured once
        mean, sd = row["kid_floor_mean"], row["kid_floor_std"]
        floor.append(Level("real against real ± 1 sd", mean, mean - sd, mean + sd))
        caption += " Samples cannot be expected below the band, which is real against real."
    for row in [row for row in log if "failed" in row][-1:]:
        caption += f" At step {row.get('step')} it ended early: {row['failed']}."
    score = Line("samples against real", x, kid, 0, low, high)
    return [
        lines([score], x_label, "KID", caption, levels=floor),
        _structure(rows, unit, x_label),
    ]


def _structure(rows: Rows, unit: str, x_label: str) -> Figure | None:
    """Figures of the samples' masks relative to real windows; the fraction of samples in range."""
    relative: Rows = []
    for row in rows:
        found = mapping(row.get("structure"))
        ratios = {unit: row.get(unit), "in_range": found.get("in_range")}
        for name, real in mapping(found, "reals").items():
            value, below = number(mapping(found, "samples").get(name)), number(real)
            ratios[name] = value / below if value is not None and below else None
        relative.append(ratios)
    curves = [
        Line(label, *curve(relative, unit, name), slot)
        for slot, (name, label) in enumerate(STRUCTURE.items())
    ]
    caption = (
        "Means over the samples' masks relative to real windows, and the fraction of samples whose "
        "density, calibre and pieces lie in the real windows' central 98 %. KID does not see this."
    )
    level = Level("real windows", 1.0)
    return lines(curves, x_label, "relative to real", caption, levels=[level])


def label_blocks(view: View) -> list[Block | None]:
    """Whose labels, how many images were kept and why not the others, and examples of both."""
    settings, figures = view.manifest["settings"], view.metrics
    whose = WHOSE_LABELS.get(str(settings.get("labels")), WHOSE_LABELS["teacher"])
    turned = f" {TURNED}" if settings.get("turned_masks") else ""
    why = {row["id"]: row["reason"] for row in view.table("labels.csv")}
    facts = [
        {"Fact": spoken(name), "Value": plain(value)}
        for name, value in figures.items()
        if name != "reasons"
    ]
    reasons = [
        {"Reason": spoken(str(reason)), "Images": plain(count)}
        for reason, count in mapping(figures, "reasons").items()
    ]
    return [
        Text(f"Labels of the synthetic images are {whose}{turned}"),
        *_examples(view, why, "Kept", "train"),
        *_examples(view, why, "Rejected", "rejected"),
        Table("Why images were rejected", reasons),
        folded(Table("All figures of the labels", facts)),
    ]


def _examples(view: View, why: Mapping[str, str], title: str, split: str) -> list[Block]:
    """Examples evenly spaced from the most to the least confident: none is hand-picked. why: id →
    the reason of its rejection."""
    items = sorted(view.items(split), key=lambda i: (-(i.get("confidence") or 0), str(i["id"])))
    shown = []
    for item in evenly(items, MOST_EXAMPLES):
        id_, confidence = str(item["id"]), item.get("confidence")
        caption = id_ if confidence is None else f"{id_}, confidence {fixed(confidence, 3)}"
        if reason := why.get(id_):
            caption = f"{id_}: {reason}"
        label = view.picture(item.get("soft") or item.get("mask"))
        alt = f"Synthetic image {id_} and its label"
        shown.append(labelled_pair(view.picture(item.get("image")), label, alt, caption))
    title += ": from the most to the least confident, evenly spaced"
    return group(title, Figures(shown, "pairs") or Text("None."))
