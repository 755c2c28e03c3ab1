"""The sections on the test images: scores, overlays or predictions, curves, image by image."""

from __future__ import annotations

from itertools import groupby, islice

from markupsafe import Markup

from vesselforge.pipeline.models.score_rows import COLUMNS, DETAILS, REGIONS, score_rows
from vesselforge.report.charts import Dot, Line, forest, lines
from vesselforge.report.formatting import ABSENT, fixed, interval, number
from vesselforge.report.page import Block, Figure, Figures, Fold, Section, Table, Text, group
from vesselforge.report.pictures import beside, opened, picture
from vesselforge.report.run.run_reading import Run, Scores, mapping

MEANS = COLUMNS | DETAILS
MEANS |= {"components": "components", "loops": "loops", "ece": "ECE", "brier": "Brier"}
MOST_ROWS = 2000
UNRANKED = (
    "AUC, AP and curves would rank pixels of different models together: they are not pooled over "
    "folds."
)
_FOV_FIRST = (
    "Inside the field of view comes first, because the black frame around it makes accuracy, "
    "specificity and AUC look better without changing F1."
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
        pictures = [Text(run.choice), Text(_PREDICTED), *predictions(run, scores)]
        return [Section("overlays", "Predictions", pictures)]
    return [
        Section("scores", "Test scores", [Text(run.choice), *score_blocks(scores)]),
        Section("overlays", "Overlays", overlays(scores), "No overlays."),
        Section(
            "curves",
            "ROC and PR",
            [curve_charts(scores)],
            UNRANKED if scores.folds else "No curves.",
        ),
        Section("images", "Image by image", [image_table(scores)]),
    ]


def score_blocks(scores: Scores) -> list[Block]:
    """Charts, then pooled pixels and means over images, first inside the field of view."""
    fov, whole = (region_tables(scores, region) for region in REGIONS)
    points = ", ".join(
        f"{scores.title(name)} {fixed(model.get('threshold'), 3)}"
        for name, model in scores.models.items()
    )
    fixed_before = "fixed on validation images before the test images were read"
    said = f"Thresholds, {fixed_before}: {points}."
    if scores.folds:
        said = f"Each fold has thresholds of its own, {fixed_before}; see the training. {UNRANKED}"
    return [
        Text(
            f"Reference: the {scores.reference} observer. All scores at the original resolution. "
            f"{said}"
        ),
        Figures([score_chart(scores)]),
        *fov,
        Fold("Whole image", whole),
        Text(_FOV_FIRST, "quiet"),
    ]


def region_tables(scores: Scores, region: str) -> list[Table]:
    """Pooled pixels, a row a model, then means over images with intervals, a column a model."""
    where = REGIONS[region].capitalize()
    means = []
    for metric, title in MEANS.items():
        cells = {
            scores.title(name): interval(scores.mean(name, region).get(metric))
            for name in scores.everyone
        }
        if set(cells.values()) != {ABSENT}:
            means.append({"Mean": title} | cells)
    pixels = f"{where}: all test pixels as one set, {scores.images} images"
    caption = f"{where}: mean over {scores.images} images (95 % interval)"
    return [Table(pixels, score_rows(scores.view.metrics, region)), Table(caption, means)]


def score_chart(scores: Scores) -> Figure | None:
    """Per-image F1 of everyone with its interval."""
    dots = []
    for name in scores.everyone:
        values = scores.mean(name).get("f1") or [None]
        if all(number(v) is not None for v in values):
            mean, low, high = values
            dots.append(Dot(scores.title(name), mean, low, high, scores.slot(name), fixed(mean)))
    return forest(dots, "F1, mean over test images", _DOTS, zero=False)


def image_table(scores: Scores) -> Table:
    """Every image of every model, inside the field of view."""
    rows, known = scores.per_image, COLUMNS | DETAILS
    metrics = [m for m in known if any(number(row.get(m)) is not None for row in rows)]
    shown = [
        {
            "Image": row["id"],
            "Model": scores.title(row["model"]) if row["model"] in scores.models else row["model"],
        }
        | {known[m]: fixed(row[m]) for m in metrics}
        for row in rows[:MOST_ROWS]
    ]
    note = f"The first {MOST_ROWS} of {len(rows)} rows." if len(rows) > MOST_ROWS else ""
    return Table(REGIONS["fov"].capitalize(), shown, note, sortable=True, names=2)


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
    caption = "ROC of all test pixels inside the field of view."
    return Figures(
        [
            lines(roc, x, y, caption, marks=marks_roc),
            lines(pr, "recall (sensitivity)", "precision", _PR, marks=marks_pr),
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
    found: list[Block] = []
    names = scores.view.names("prob/", ".png")
    for model, own in groupby(names, lambda name: name.split("/")[1]):
        shown = []
        for name in islice(own, most):
            id_ = name.removeprefix(f"prob/{model}/").removesuffix(".png")
            prob = scores.view.picture(name)
            image = test.picture(images.get(id_)) if test else None
            if prob is not None and image is not None and image.size == prob.size:
                prob = beside(image, prob)
            alt = f"Vessel probability by {model} on test image {id_}"
            shown.append(picture(prob, alt, id_, side=640))
        found += group(model, Figures(shown, "pairs"))
    return found
