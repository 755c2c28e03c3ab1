"""`vesselforge segmenter …`: the segmenters alone, sharing the pipeline's artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_models import import_
from flows.cli_score import Split, SplitOption, check_table, score
from flows.verbs import (
    ConfigArgument,
    JsonOption,
    SetOption,
    WorkspaceOption,
    new_app,
    new_display,
    print_json,
    print_table,
    run_step,
    verb,
)

app = new_app("The segmenters alone. Training and labelling share their artifacts with `run`.")

ModelArgument = Annotated[
    Path,
    typer.Argument(help="Folder of a model (an artifact of `segmenter train`), or of a whole run."),
]


@app.command()
@verb
def train(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    json_: JsonOption = False,
) -> None:
    """Train the teacher of a config on its real images."""
    run_step("teacher", config, set_, workspace, json_)


@app.command("pseudo-label")
@verb
def pseudo_label(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    json_: JsonOption = False,
) -> None:
    """Label a config's synthetic images by its teacher; does what comes before if need be."""
    run_step("pseudo-labels", config, set_, workspace, json_)


@app.command()
@verb
def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Image files or folders of them.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the vessel maps.")],
    json_: JsonOption = False,
) -> None:
    """Segment images: probability, mask and overlay at native resolution."""
    from flows.runs import model_folder
    from segmenter.inference.predict import predict_files

    display = new_display()
    rows = predict_files(model_folder(model), images, out, display.begin("segmenting"))
    display.close()
    print_json(rows) if json_ else print_table(_even(rows), f"vessel maps in {out}")
    if any("error" in row for row in rows):
        raise typer.Exit(2)


def _even(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same columns in every row."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in columns} for row in rows]


@app.command()
@verb
def evaluate(
    model: ModelArgument,
    dataset: Annotated[
        list[str],
        typer.Argument(help="Datasets by name (drive, chase-db1, …) or folder (images/, masks/)."),
    ],
    split: SplitOption = Split.test,
    json_: JsonOption = False,
) -> None:
    """Score a model on the test images of known datasets, or on all images of a folder."""
    from flows.evaluation import evaluate_on
    from flows.results import REGIONS, detail_rows, score_rows, scored
    from flows.runs import model_folder

    found = evaluate_on(model_folder(model), dataset, new_display(), split.value)
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
        details = detail_rows(scored(metrics), "fov")
        print_table(details, f"{about}, means over images, {REGIONS['fov']}")


app.command("import")(import_)
app.command()(score)
app.command("check-table")(check_table)
