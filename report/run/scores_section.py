"""The sections on the test images: scores, overlays or predictions, curves, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from vesselforge.engine.documents import records
from vesselforge.pipeline.models.score_rows import COLUMNS, DETAILS, REGIONS, score_rows
from vesselforge.report.charts import Line, lines
from vesselforge.report.forest import Dot, differences, forest
from vesselforge.report.formatting import ABSENT, fixed, interval, number, signed
from vesselforge.report.page import (
    Block,
    Figure,
    Figures,
    Fold,
    Note,
    Section,
    Table,
    Text,
    folded,
    group,
)
from vesselforge.report.pictures import beside, opened, picture
from vesselforge.report.run.run_reading import Run, mapping
from vesselforge.report.run.scored import Scores, paired
from vesselforge.segmenter.metrics.consistency import Quoted, check_consistency

MEANS = COLUMNS | DETAILS | {n: n for n in ("components", "loops")} | {"ece": "ECE"}
MEANS |= {"brier": "Brier"}
MOST_ROWS = 2000
_FOV_FIRST = (
    "Inside the field of view comes first, because the black frame around it makes accuracy, "
    "specificity and AUC look better without changing F1."
)
_CONSISTENT = (
    "In every row F1 is 2PR/(P+R), and accuracy follows from sensitivity and specificity (checked "
    "for this page)."
)
_DOTS = (
    "Mean per-image F1 inside the field of view with 95 % bootstrap intervals over images. "
    "Overlap says little: the images are the same, so compare them in pairs."
)
_PR = "Precision against recall: the stricter picture when few pixels are vessel."
_COLOURS = Markup(
    '<span class="key" style="background:#009e73"></span>vessel found (true positive) '
    '<span class="key" style="background:#d55e00"></span>false alarm (false positive) '
    '<span class="key" style="background:#56b4e9"></span>missed (false negative)'
)
_RANKED = "Ranked by each model's own F1 inside the field of view."
_PREDICTED = "Test images, and beside them the vessel probability of each model (white = certain)."


def score_sections(run: Run, scores: Scores | None) -> list[Section]:
    """What there is of the evaluation, scored or not."""
    missing = "The models have not been scored on the test images."
    if scores is None:
        return [Section("scores", "Test scores", [], missing)]
    if scores.reference is None:
        pictures = [Text(_PREDICTED), *predictions(run, scores)]
        return [Section("overlays", "Predictions", pictures)]
    fov, whole = (image_table(scores, region) for region in REGIONS)
    return [
        Section("scores", "Test scores", score_blocks(scores)),
        Section("overlays", "Overlays", overlays(scores), "No overlays."),
        Section("curves", "ROC and PR", [curve_charts(scores)], "No curves."),
        Section("images", "Image by image", [fov, folded(whole)]),
    ]


def score_blocks(scores: Scores) -> list[Block]:
    """Charts, then pooled pixels and means over images, first inside the field of view."""
    fov, whole = (region_tables(scores, region) for region in REGIONS)
    contradictions = consistency(scores)
    return [
        Text(
            f"Reference: the {scores.reference} observer. All scores at the original resolution. "
            "Thresholds, fixed on validation images before the test images were read: "
            f"{operating_points(scores)}."
        ),
        Note("Numbers that contradict each other", contradictions),
        Figures(score_charts(scores)),
        *fov,
        Fold("Whole image", whole),
        Text(_FOV_FIRST if contradictions else f"{_FOV_FIRST} {_CONSISTENT}", "quiet"),
    ]


def region_tables(scores: Scores, region: str) -> list[Table]:
    """Pooled pixels, a row a model, then means over images with intervals, a column a model."""
    where = REGIONS[region].capitalize()
    rows = score_rows(scores.view.metrics, region)
    if scores.teacher and scores.student:
        pair = (scores.pooled(name, region) for name in (scores.student, scores.teacher))
        rows.append({"model": f"{scores.student} − {scores.teacher}"} | _difference(*pair))
    means = [
        [title, *(interval(scores.mean(name, region).get(metric)) for name in scores.everyone)]
        for metric, title in MEANS.items()
    ]
    means = [row for row in means if any(cell != ABSENT for cell in row[1:])]
    pixels = f"{where}: all test pixels as one set, {scores.images} images"
    caption = f"{where}: mean over {scores.images} images (95 % interval)"
    head = ["Mean", *map(scores.title, scores.everyone)]
    return [Table.of(pixels, rows), Table(caption, head, means)]


def _difference(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for metric, column in COLUMNS.items():
        pair = number(student.get(metric)), number(teacher.get(metric))
        if pair[0] is not None and pair[1] is not None:
            found[column] = signed(pair[0] - pair[1])
    return found


def operating_points(scores: Scores) -> str:
    """How each model's masks are made, as it was fixed before the test images were read."""
    return ", ".join(_point(scores.title(name), one) for name, one in scores.models.items())


def _point(title: str, model: Mapping[str, Any]) -> str:
    """Of a vote, the thresholds of its members: its own is always one half. With the calibration
    and the rule of components of a model that has them."""
    votes = mapping(model, "rule").get("thresholds")
    point = f"{title} {fixed(model.get('threshold'), 3)}"
    if votes:
        point = f"{title} at its members' {', '.join(fixed(v, 3) for v in votes)}"
    each = [
        f"temperature {fixed(one.get('temperature'), 3)}, shift {fixed(one.get('shift'), 3)}"
        for one in records(model.get("calibration"))
        if one
    ]
    if rule := mapping(model, "components"):
        least = f"{fixed(rule.get('sure'), 3)} somewhere and {rule.get('smallest')} pixels"
        each.append(f"pieces of at least {least}")
    return f"{point} ({'; '.join(each)})" if each else point


def consistency(scores: Scores) -> list[str]:
    """Rows of the tables that contradict themselves."""
    found = []
    for region, where in REGIONS.items():
        for name in scores.everyone:
            row = {k: number(scores.pooled(name, region).get(k)) for k in _CHECKED}
            quoted = {k: Quoted(value) for k, value in row.items() if value is not None}
            problems = check_consistency(quoted, {}).problems if len(quoted) == len(row) else []
            found += [f"{scores.title(name)}, {where}: {'; '.join(problems)}"] if problems else []
    return found


_CHECKED = ("se", "sp", "acc", "precision", "f1")


def score_charts(scores: Scores) -> list[Figure | None]:
    """Per-image F1 with intervals, and student against teacher image by image."""
    dots = []
    for name in scores.everyone:
        values = scores.mean(name).get("f1") or [None]
        if all(number(v) is not None for v in values):
            mean, low, high = values
            dots.append(Dot(scores.title(name), mean, low, high, scores.slot(name), fixed(mean)))
    found = [forest(dots, "F1, mean over test images", _DOTS, zero=False)]
    pair = paired(scores)
    if pair is not None:
        better = sum(v > 0 for v in pair.values)
        caption = (
            f"Each bar is one test image. {scores.student} is above {scores.teacher} on {better} "
            f"of {len(pair.values)}."
        )
        label = f"F1, {scores.student} − {scores.teacher}"
        found.append(differences(pair.values, "test images, sorted", label, caption))
    return found


def image_table(scores: Scores, region: str) -> Table:
    """Every image of every model."""
    rows = [row for row in scores.per_image if row["region"] == region]
    metrics = [m for m in COLUMNS | DETAILS if any(number(row.get(m)) is not None for row in rows)]
    cells = [
        [
            row["id"],
            scores.title(row["model"]) if row["model"] in scores.models else row["model"],
            *(fixed(row[m]) for m in metrics),
        ]
        for row in rows[:MOST_ROWS]
    ]
    note = f"The first {MOST_ROWS} of {len(rows)} rows." if len(rows) > MOST_ROWS else ""
    head = ["Image", "Model", *(MEANS[m] for m in metrics)]
    return Table(REGIONS[region].capitalize(), head, cells, note, sortable=True, names=2)


def curve_charts(scores: Scores) -> Figures:
    """ROC and precision-recall over the pooled test pixels; observers as marks."""
    curves = scores.view.json("curves.json")
    roc, pr = (
        [
            Line(scores.title(name), points[x], points[y], scores.slot(name))
            for name in scores.models
            if (points := mapping(curves, name, kind))
        ]
        for kind, x, y in (("roc", "fpr", "tpr"), ("pr", "recall", "precision"))
    )
    marks_roc, marks_pr = [], []
    for name in scores.observers:
        row = scores.pooled(name)
        se, sp, precision = (number(row.get(m)) for m in ("se", "sp", "precision"))
        if se is not None and sp is not None:
            marks_roc.append((1 - sp, se, scores.title(name)))
        if se is not None and precision is not None:
            marks_pr.append((se, precision, scores.title(name)))
    x, y = "false positive rate (1 − specificity)", "true positive rate (sensitivity)"
    near = [c for c in roc if any(a <= 0.15 and b >= 0.6 for a, b in zip(c.x, c.y, strict=True))]
    whole, corner = (0.0, 1.0, 0.0, 1.02), (0.0, 0.15, 0.6, 1.0)
    caption = "ROC of all test pixels inside the field of view."
    return Figures(
        [
            lines(roc, x, y, caption, box=whole, marks=marks_roc),
            lines(near, x, y, "Its upper left corner.", box=corner, marks=marks_roc),
            lines(pr, "recall (sensitivity)", "precision", _PR, box=whole, marks=marks_pr),
        ]
    )


def overlays(scores: Scores) -> list[Block]:
    """Best, median and worst test image of every model by its per-image F1."""
    found: list[Block] = []
    for model in scores.models:
        ranked = sorted(scores.f1_by_image(model).items(), key=lambda pair: (-pair[1], pair[0]))
        last = len(ranked) - 1
        places = {last // 2: "median", last: "worst", 0: "best"} if last else {0: "only image"}
        shown: list[Figure | None] = []
        for place, word in sorted(places.items() if ranked else []):
            id_, f1 = ranked[place]
            image = opened(scores.view.read(f"overlays/{model}/{id_}.png"))
            alt = f"Overlay of {model} on test image {id_}, its {word}: F1 {f1:.4f}"
            shown.append(picture(image, alt, f"{word}: {id_}, F1 {f1:.4f}", side=560))
        found += group(scores.title(model), Figures(shown, "pictures"))
    return [Text(_COLOURS), Text(_RANKED, "quiet"), *found] if found else []


def predictions(run: Run, scores: Scores, most: int = 4) -> list[Block]:
    """Vessel probabilities beside the images, where nothing can be scored."""
    test = run.artifacts.get("test")
    images = {str(i["id"]): i["image"] for i in test.items()} if test else {}
    shown: dict[str, list[Figure | None]] = {}
    for name in scores.view.names("prob/", ".png"):
        model, _, file = name.removeprefix("prob/").rpartition("/")
        pictures = shown.setdefault(model, [])
        if len(pictures) < most:
            id_ = file.removesuffix(".png")
            prob = scores.view.picture(name)
            image = test.picture(images.get(id_)) if test else None
            if prob is not None and image is not None and image.size == prob.size:
                prob = beside(image, prob)
            alt = f"Vessel probability by {model} on test image {id_}"
            pictures.append(picture(prob, alt, id_, side=640))
    found: list[Block] = []
    for model, pictures in shown.items():
        found += group(model, Figures(pictures, "pairs"))
    return found
