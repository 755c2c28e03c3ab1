"""`vesselforge segmenter …`: the segmenters alone, sharing the pipeline's artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselforge.cli.model_verbs import calibrate, import_, models, publish
from vesselforge.cli.predict_verbs import export, predict
from vesselforge.cli.score_verbs import Split, SplitOption, check_table, score
from vesselforge.cli.verbs import (
    FlipsOption,
    FovWidthOption,
    JsonOption,
    add_step,
    new_app,
    new_display,
    print_json,
    print_table,
    verb,
)
from vesselforge.configs.catalogue import KNOWN_NAMES

app = new_app("The segmenters alone. Training and labelling share their artifacts with `run`.")

ModelArgument = Annotated[
    Path,
    typer.Argument(
        help="Folder of a model (an artifact of `segmenter train`) or of a whole run, or the name "
        "of a model that comes with VesselForge (see `segmenter models`)."
    ),
]


add_step(app, "train", "teacher", "Train the teacher of a config on its real images.")
add_step(
    app,
    "pseudo-label",
    "pseudo-labels",
    "Label a config's synthetic images by its teacher; does what comes before if need be.",
)


@app.command()
@verb
def evaluate(
    model: ModelArgument,
    dataset: Annotated[
        list[str],
        typer.Argument(help=f"Datasets by name ({KNOWN_NAMES}) or folder (images/, masks/)."),
    ],
    split: SplitOption = Split.test,
    flips: FlipsOption = False,
    fov_width: FovWidthOption = None,
    runtime: Annotated[
        str, typer.Option(help="torch, fast or fast-bfloat16; auto: the fastest safe one.")
    ] = "auto",
    json_: JsonOption = False,
) -> None:
    """Score a model on the test images of known datasets, or on all images of a folder."""
    from vesselforge.configs.load import validate
    from vesselforge.configs.settings import EvaluateSettings
    from vesselforge.pipeline.models.score_rows import REGIONS, score_rows
    from vesselforge.pipeline.models.scoring import evaluate_on
    from vesselforge.pipeline.record import model_folder

    given = {"flips": flips, "fov_width": fov_width, "runtime": runtime}
    settings = validate(EvaluateSettings, given, "segmenter evaluate")
    found = evaluate_on(model_folder(model), dataset, new_display(), split.value, settings)
    if json_:
        print_json(found)
        return
    for name, metrics in found.items():
        if not metrics["models"]:
            typer.echo(f"{name}: {metrics['note']}")
            continue
        about = f"{name}, {metrics['images']} images ({split.value})"
        for region, where in REGIONS.items():
            print_table(score_rows(metrics, region), f"{about}, pooled, {where}")


app.command()(predict)
app.command()(export)
app.command("import")(import_)
app.command()(calibrate)
app.command()(models)
app.command()(publish)
app.command()(score)
app.command("check-table")(check_table)
