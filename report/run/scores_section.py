"""The test section of the page: tables, per-image rows, curves, and overlays or predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vesselforge.engine.documents import records
from vesselforge.report.figures import Figure, Line, columns, differences, intervals, lines
from vesselforge.report.pictures import Picture, beside, opened, picture
from vesselforge.report.run.headline import Scores, inconsistent, paired
from vesselforge.report.run.run_reading import View, mapping
from vesselforge.report.tables import (
    DETAILS,
    METRICS,
    SHORT,
    Table,
    fixed,
    interval,
    number,
    signed,
)

REGIONS = {"fov": "inside the field of view", "whole": "whole image"}
MOST_ROWS = 2000


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    pictures: list[Picture] = field(default_factory=list)


def metric_tables(scores: Scores) -> list[Table]:
    """Field of view first, whole image second; pooled pixels, then means over images, then what
    pixels do not show: calibres, topology, calibration."""
    tables = []
    for region, where in REGIONS.items():
        tables.append(_pooled_table(scores, region, where))
        tables.append(_observer_table(scores, region, where))
        means = f"{where.capitalize()}: mean over {scores.images} images (95 % interval)"
        tables.append(_mean_table(scores, region, METRICS, means))
        details = f"{where.capitalize()}: calibre, topology and calibration, means over images"
        tables.append(_mean_table(scores, region, DETAILS, details))
    return [table for table in tables if table.rows]


def _pooled_table(scores: Scores, region: str, where: str) -> Table:
    names = [*scores.models, *scores.observers]
    compared = scores.teacher is not None and scores.student is not None
    rows = []
    for metric, title in METRICS.items():
        values = [scores.pooled(name, region).get(metric) for name in names]
        if all(number(v) is None for v in values):
            continue
        row = [title, *map(fixed, values)]
        if compared:
            base = number(scores.pooled(scores.teacher or "", region).get(metric))
            other = number(scores.pooled(scores.student or "", region).get(metric))
            row.append(signed(None if base is None or other is None else other - base))
        rows.append(row)
    head = ["Pooled", *map(scores.marked, names)]
    if compared:
        head.append(f"{scores.student} − {scores.teacher}")
    caption = f"{where.capitalize()}: all test pixels as one set, {scores.images} images"
    return Table(caption, head, rows)


def _observer_table(scores: Scores, region: str, where: str) -> Table:
    """Every model by each observer, and the observers by the first; empty with one observer."""
    if not scores.observers:
        return Table("", [], [])
    first = scores.reference or ""
    lines = [
        (f"{scores.marked(m)} by the {first}", scores.pooled(m, region)) for m in scores.models
    ]
    for observer in scores.observers:
        for model in scores.models:
            found = scores.against(model, observer, region)
            lines.append((f"{scores.title(model)} by the {observer}", found))
    lines += [(f"{o} observer by the {first}", scores.pooled(o, region)) for o in scores.observers]
    shown = [m for m in SHORT if any(number(found.get(m)) is not None for _, found in lines)]
    rows = [[who, *(fixed(found.get(m)) for m in shown)] for who, found in lines if found]
    caption = f"{where.capitalize()}: by each observer, pooled"
    return Table(caption, ["Who by whom", *(SHORT[m] for m in shown)], rows)


def _mean_table(scores: Scores, region: str, metrics: dict[str, str], caption: str) -> Table:
    names = [*scores.models, *scores.observers]
    rows = []
    for metric, title in metrics.items():
        cells = [interval(scores.mean(name, region).get(metric)) for name in names]
        if any(cell != "–" for cell in cells):
            rows.append([title, *cells])
    return Table(caption, ["Mean", *map(scores.title, names)], rows)


def thresholds(scores: Scores) -> str:
    """The operating points, which were fixed before the test images were read."""
    models = {m: mapping(scores.view.metrics, "models", m) for m in scores.models}
    said = [_operating_point(scores.title(name), model) for name, model in models.items()]
    return ", ".join(said)


def _operating_point(title: str, model: dict[str, Any]) -> str:
    """Of a vote, the thresholds of its members: its own is always one half. With the calibration
    and the rule of components of a model that has them."""
    votes = mapping(model, "rule").get("thresholds")
    said = f"{title} {fixed(model.get('threshold'), 3)}"
    if isinstance(votes, list) and votes:
        said = f"{title} at its members' {', '.join(fixed(v, 3) for v in votes)}"
    each = [
        f"temperature {fixed(one.get('temperature'), 3)}, shift {fixed(one.get('shift'), 3)}"
        for one in records(model.get("calibration"))
        if one
    ]
    if rule := mapping(model, "components"):
        least = f"{fixed(rule.get('sure'), 3)} somewhere and {rule.get('smallest')} pixels"
        each.append(f"pieces of at least {least}")
    return f"{said} ({'; '.join(each)})" if each else said


def consistency(scores: Scores) -> list[str]:
    """Rows of the tables that contradict themselves."""
    found = []
    for region, where in REGIONS.items():
        for name in [*scores.models, *scores.observers]:
            problem = inconsistent(scores.pooled(name, region))
            if problem:
                found.append(f"{scores.title(name)}, {where}: {problem}")
    return found


def score_figures(scores: Scores) -> list[Figure]:
    """Per-image F1 with intervals, and student against teacher image by image."""
    rows = []
    for name in [*scores.models, *scores.observers]:
        mean = scores.mean(name).get("f1")
        values = [number(v) for v in mean] if isinstance(mean, list) else []
        if len(values) == 3 and all(v is not None for v in values):
            title = scores.title(name)
            slot = -1 if name in scores.observers else scores.slot(name)
            middle, low, high = (float(v or 0) for v in values)
            rows.append((title, middle, low, high, slot))
    figures = [intervals(rows, "F1, mean over test images", _DOTS)]
    pair = paired(scores)
    if pair is not None:
        better = sum(v > 0 for v in pair.values)
        caption = (
            f"Each bar is one test image. {scores.student} is above {scores.teacher} on {better} "
            f"of {len(pair.values)}; mean {signed(pair.mean)}, 95 % bootstrap interval over "
            f"images {signed(pair.low)} to {signed(pair.high)}."
        )
        label = f"F1, {scores.student} − {scores.teacher}"
        figures.append(differences(pair.values, "test images, sorted", label, caption))
    return [f for f in figures if f is not None]


_DOTS = (
    "Mean per-image F1 inside the field of view with 95 % bootstrap intervals over images. "
    "Overlap says little: the images are the same, so compare them in pairs."
)


def image_tables(scores: Scores) -> list[Table]:
    """Every image of every model, one table a region."""
    tables = []
    for region, where in REGIONS.items():
        rows = [row for row in scores.per_image if row.get("region") == region]
        metrics = [m for m in METRICS if any(number(row.get(m)) is not None for row in rows)]
        cells = [
            [
                row.get("id", ""),
                scores.listed(row.get("model", "")),
                *(fixed(row.get(m)) for m in metrics),
            ]
            for row in rows[:MOST_ROWS]
        ]
        note = f"The first {MOST_ROWS} of {len(rows)} rows." if len(rows) > MOST_ROWS else ""
        head = ["Image", "Model", *(SHORT.get(m, METRICS[m]) for m in metrics)]
        if cells:
            tables.append(Table(where.capitalize(), head, cells, sortable=True, note=note))
    return tables


def curve_figures(scores: Scores) -> list[Figure]:
    """ROC and precision-recall over the pooled test pixels; the second observer as a mark."""
    curves = mapping(scores.view.json("curves.json"))
    roc: list[Line] = []
    pr: list[Line] = []
    for name in [*scores.models, *(n for n in curves if n not in scores.models)]:
        slot = scores.slot(name)
        for kind, x, y, into in (("roc", "fpr", "tpr", roc), ("pr", "recall", "precision", pr)):
            points = mapping(curves, name, kind)
            into.append(Line(scores.title(name), *columns(points, x, y), slot))
    marks_roc, marks_pr = [], []
    for name in scores.observers:
        row = scores.pooled(name)
        se, sp, precision = (number(row.get(m)) for m in ("se", "sp", "precision"))
        if se is not None and sp is not None:
            marks_roc.append((1 - sp, se, f"{name} observer"))
        if se is not None and precision is not None:
            marks_pr.append((se, precision, f"{name} observer"))
    x, y = "false positive rate (1 − specificity)", "true positive rate (sensitivity)"
    near = [c for c in roc if any(a <= 0.15 and b >= 0.6 for a, b in zip(c.x, c.y, strict=True))]
    recall = "recall (sensitivity)"
    whole, corner = (0.0, 1.0, 0.0, 1.02), (0.0, 0.15, 0.6, 1.0)
    figures = (
        lines(
            roc,
            x,
            y,
            "ROC of all test pixels inside the field of view.",
            box=whole,
            points=marks_roc,
        ),
        lines(near, x, y, "The same ROC, its upper left corner.", box=corner, points=marks_roc),
        lines(pr, recall, "precision", _PR, box=whole, points=marks_pr),
    )
    return [figure for figure in figures if figure is not None]


_ROC = "ROC of all test pixels inside the field of view."
_PR = "Precision against recall: the stricter picture when few pixels are vessel."


def overlay_galleries(scores: Scores) -> list[Gallery]:
    """Best, median and worst test image of every model by its per-image F1."""
    galleries = []
    for model in scores.models:
        ranked = sorted(scores.f1_by_image(model).items(), key=lambda pair: (-pair[1], pair[0]))
        if not ranked:
            continue
        last = len(ranked) - 1
        places = {last // 2: "median", last: "worst", 0: "best"} if last else {0: "only image"}
        gallery = Gallery(scores.title(model))
        for place, word in sorted(places.items()):
            id_, f1 = ranked[place]
            image = opened(scores.view.read(f"overlays/{model}/{id_}.png"))
            alt = f"Overlay of {model} on test image {id_}, its {word}: F1 {f1:.4f}"
            found = picture(image, alt, f"{word}: {id_}, F1 {f1:.4f}", side=560)
            both = (found, _spread(scores, model, id_))
            gallery.pictures.extend(p for p in both if p is not None)
        galleries.append(gallery)
    return [g for g in galleries if g.pictures]


def _spread(scores: Scores, model: str, id_: str) -> Picture | None:
    """How far an ensemble's members disagree, twice as bright as in the file, where white is 0.5:
    members that were trained alike rarely come near that."""
    image = opened(scores.view.read(f"spread/{model}/{id_}.png"))
    if image is None:
        return None
    brighter = image.point([min(255, 2 * value) for value in range(256)] * 3)
    alt = f"Spread of the members of {scores.title(model)} on test image {id_}"
    said = f"{id_}, standard deviation of the members: black 0, white 0.25 or more"
    return picture(brighter, alt, said, side=560)


def prediction_galleries(view: View, test: View | None, most: int = 4) -> list[Gallery]:
    """Vessel probabilities beside the images, where nothing can be scored."""
    images = image_files(test)
    galleries: dict[str, Gallery] = {}
    for name in view.names("prob/", ".png"):
        model, _, file = name.removeprefix("prob/").rpartition("/")
        gallery = galleries.setdefault(model, Gallery(model))
        if len(gallery.pictures) == most:
            continue
        id_ = file.removesuffix(".png")
        prob = opened(view.read(name))
        image = opened(test.read(images[id_])) if test and id_ in images else None
        if prob is not None and image is not None and image.size == prob.size:
            prob = beside(image, prob)
        found = picture(prob, f"Vessel probability by {model} on test image {id_}", id_, side=640)
        if found is not None:
            gallery.pictures.append(found)
    return list(galleries.values())


def image_files(view: View | None) -> dict[str, str]:
    """Image file by id of an image set."""
    items = records(mapping(view.json("index.json") if view else None).get("items"))
    return {str(item.get("id")): str(item.get("image")) for item in items}
