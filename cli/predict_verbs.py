"""`vesselforge segmenter predict` and `export`: trained segmenters put to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.exchange_verbs import ForceOption
from vesselforge.cli.verbs import (
    FlipsOption,
    FovWidthOption,
    JsonOption,
    print_json,
    print_table,
    verb,
    working,
)

STOPPING = "stopping: the current image is left out …"

MapsOf = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a model (an artifact of `segmenter train`) or of a whole run.",
    ),
]


@verb
def predict(
    model: MapsOf,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE_OR_FOLDER...",
            help="Image files or folders of them.",
            readable=False,  # one that may not be read is skipped as any other fault
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the vessel maps.")],
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Vessel from this probability on.  [default: the model's]"),
    ] = None,
    flips: FlipsOption = False,
    fov_width: FovWidthOption = None,
    bits: Annotated[int, typer.Option(help="8 or 16, of the probability map.")] = 8,
    runtime: Annotated[
        str,
        typer.Option(help="torch, fast or fast-bfloat16; auto: the fastest safe one."),
    ] = "auto",
    tile: Annotated[
        int,
        typer.Option(help="Longest side of a tile in pixels; an image without longer ones is one."),
    ] = 1344,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_: JsonOption = False,
) -> None:
    """Segment images: probability, mask and overlay at native resolution, and summary.csv.

    Greyscale, 16 bits, alpha and EXIF rotation are understood; what cannot be read is reported
    and skipped (exit status 2). Ctrl-C keeps what is finished.
    """
    from vesselforge.configs.errors import ConfigError

    if bits not in (8, 16):
        raise ConfigError(f"--bits: found {bits}, expected 8 or 16")
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: found {device}, expected auto, cpu or cuda")
    from vesselforge.engine.devices import pick_device
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.inference.predict import PredictOptions, predict_files
    from vesselforge.segmenter.inference.tiles import Tiling
    from vesselforge.segmenter.models import Model

    with working("segmenting", STOPPING) as progress:
        loaded = Model.load(
            model_folder(model),
            None if device == "auto" else pick_device(device),
            runtime,
            Tiling(side=tile),
        )
        options = PredictOptions(flips, threshold, 8 if bits == 8 else 16, fov_width)
        rows = predict_files(loaded, images, out, progress, options)
    if json_:
        print_json(rows)
    else:
        _print(rows, out)
    if any("error" in row for row in rows):
        raise typer.Exit(2)


def _print(rows: list[dict[str, Any]], out: Path) -> None:
    """The figures of the images that went well, then the faults of the others."""
    done = [row for row in rows if "error" not in row]
    columns = {
        "vessel_share": "vessel",
        "vessel_share_fov": "in the FOV",
        "seconds": "seconds",
    }
    print_table(
        [
            {"image": row["name"], "size": f"{row['width']} x {row['height']}"}
            | {title: row[column] for column, title in columns.items()}
            for row in done
        ],
        f"vessel maps in {out}",
    )
    for row in done:
        if row["remark"]:
            typer.echo(f"{row['file']}: {row['remark']}", err=True)
    for row in rows:
        if "error" in row:
            typer.echo(f"skipped: {row['error']}", err=True)


@verb
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder of a model or an ensemble, or of a whole run."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, *.onnx.")],
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Write a segmenter for other programs: image in, vessel probability out, of any size.

    Padding, an ensemble's rule and the sigmoid are inside. The file is checked against PyTorch
    before it is written.
    """
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.inference.export import export as write

    made = write(model_folder(model), out, force)
    if json_:
        print_json(made)
    else:
        size = f"{made['bytes'] / 1e6:.1f} MB"
        typer.echo(
            f"{out}: {' + '.join(made['networks'])}, threshold {made['threshold']:.3g}, {size}; "
            f"image [batch, 3, height, width] → vessel_probability, "
            f"{made['difference']:.0e} off PyTorch's"
        )
