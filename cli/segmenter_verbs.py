"""`vesselforge segmenter …`: the segmenters alone, sharing the pipeline's artifacts."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vesselforge.cli.app import new_app, verb
from vesselforge.cli.names import DATASET, ModelArgument, dataset_names
from vesselforge.cli.verbs import (
    WORKSPACE,
    FlipsOption,
    FovWidthOption,
    JsonOption,
    MaskValuesOption,
    PatternOption,
    RuntimeOption,
    WorkspaceOption,
    add_step,
    as_table,
    new_display,
    print_result,
    working,
)
from vesselforge.configs.catalogue import SECOND_OBSERVERS
from vesselforge.configs.errors import DataError
from vesselforge.configs.load import validate

if TYPE_CHECKING:
    from rich.table import Table

app = new_app(
    "Segmenters alone: train, label, predict, score.\n\n"
    "Training and labelling share their artifacts with `run`."
)


SplitOption = Annotated[
    Literal["test", "all"],
    typer.Option(help="Of a known dataset: its test split, or all images (for foreign models)."),
]

LABEL = """Label a config's synthetic images by its teacher.

Does what comes before if need be.
"""
TRAIN = "Train the teacher of a config on its real images."
add_step(app, "train", "teacher", TRAIN, "vesselforge segmenter train best --set data.name=drive")
add_step(
    app, "pseudo-label", "pseudo-labels", LABEL, "vesselforge segmenter pseudo-label quickstart"
)


@verb(app, example="vesselforge segmenter evaluate sa-unet-drive my-eyes")
def evaluate(
    model: ModelArgument,
    dataset: Annotated[
        list[str],
        typer.Argument(metavar="DATASET", help=DATASET, autocompletion=dataset_names),
    ],
    split: SplitOption = "test",
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    flips: FlipsOption = False,
    fov_width: FovWidthOption = "model",
    runtime: RuntimeOption = "auto",
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Score a model on datasets or folders of images and masks.

    Of known datasets the test images, of a folder all of them.
    """
    from vesselforge.configs.settings import EvaluateSettings
    from vesselforge.pipeline.models.score_rows import REGIONS, score_rows
    from vesselforge.pipeline.models.scoring import evaluate_on
    from vesselforge.pipeline.record import model_folder

    given = {"flips": flips, "fov_width": fov_width, "runtime": runtime}
    settings = validate(EvaluateSettings, given, "segmenter evaluate")
    folder, display = model_folder(model, workspace=workspace), new_display()
    found = evaluate_on(folder, dataset, display, split, settings, pattern, mask_values)
    told: list[str | Table] = []
    for name, metrics in found.items():
        if not metrics["models"]:
            told.append(f"{name}: {metrics['note']}")
            continue
        about = f"{name}, {metrics['images']} images ({split})"
        for region, where in REGIONS.items():
            told.append(as_table(score_rows(metrics, region), f"{about}, pooled, {where}"))
    print_result(json_, found, *told)


@verb(
    app,
    example="""vesselforge segmenter score maps --dataset drive
    vesselforge segmenter score --dataset drive --observer 2nd""",
)
def score(
    maps: Annotated[
        Path | None,
        typer.Argument(
            metavar="MAPS",
            help="Folder of probability maps or masks, one an image, named by its identifier.",
        ),
    ] = None,
    dataset: Annotated[str, typer.Option(help=DATASET, autocompletion=dataset_names)] = "drive",
    observer: Annotated[
        list[str] | None, typer.Option(help=f"Score this human ({SECOND_OBSERVERS}); repeatable.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Maps are vessel from here on.")
    ] = 0.5,
    split: SplitOption = "test",
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    per_image: Annotated[
        Path | None, typer.Option(help="Write every image's scores to this CSV file.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Score maps on disk, or a human observer.

    Maps against every observer, a human against the first one. Maps of a dataset with two observers
    get three lines: maps against either, human against human.
    """
    from vesselforge.pipeline.models.score_rows import REGIONS, pixel_rows, scored_lines
    from vesselforge.pipeline.models.scoring import Scorer

    if maps is None and not observer:
        raise DataError("nothing to score: name a folder of maps, or a human with --observer 2nd")
    with working(f"reading {dataset}") as progress:
        scorer = Scorer(dataset, split, progress, pattern, mask_values)
        if maps is not None:
            scorer.score_maps(maps, threshold)
        for name in observer or scorer.observers[1:]:
            scorer.score_observer(name)
    if per_image is not None:
        scorer.write_rows(per_image)
    result = scorer.result()
    lines, about = scored_lines(result), f"{dataset}, {result['images']} images ({split})"
    tables = [
        as_table(pixel_rows(lines, region), f"{about}, pooled, {where}")
        for region, where in REGIONS.items()
    ]
    print_result(json_, result, *tables)


@verb(
    app,
    "check-table",
    example="vesselforge segmenter check-table quoted.csv --share whole=0.0876",
)
def check_table(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE.csv", help="CSV with columns name, se, sp, acc[, precision, f1, mcc]."
        ),
    ],
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Vessel share of a protocol, as whole=0.0876; repeatable."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Measure the shares of this dataset: whole and fov.",
            autocompletion=dataset_names,
        ),
    ] = None,
    split: SplitOption = "test",
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    json_: JsonOption = False,
) -> None:
    """Check quoted results: which pixels were counted?

    ACC = SE·p + SP·(1 − p) tells it. A row `fits` a protocol within rounding, or is near it (in
    brackets), as means over images are.
    """
    from vesselforge.segmenter.metrics.consistency import check_table

    shares = dict(map(_named_share, share or []))
    if dataset is not None:
        from vesselforge.pipeline.models.scoring import Scorer

        with working(f"reading {dataset}") as progress:
            shares |= Scorer(dataset, split, progress, pattern, mask_values).shares()
    rows = check_table(table, shares)
    known = ", ".join(f"{name} {value:.4f}" for name, value in shares.items()) or "none given"
    readable = as_table([_readable(row) for row in rows], f"vessel shares: {known}")
    print_result(json_, {"shares": shares, "rows": rows}, readable)


def _named_share(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    with contextlib.suppress(ValueError):
        if name and 0 < float(number) < 1:
            return name, float(number)
    raise DataError(f"--share {text!r}: expected NAME=VALUE with a value between 0 and 1")


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    known = row["share"] is not None
    span = f"{row['share']:.4f} ({row['share_low']:.4f} to {row['share_high']:.4f})"
    fits = [*row["fits"], *(f"({name})" for name in row["near"])]
    return {
        "name": row["name"],
        "implied vessel share": span if known else "SE = SP: any",
        "fits": fits,
        "problems": "; ".join(row["problems"]),
    }
