"""`vesselforge segmenter predict`, `export`, `import`, `calibrate`, `publish`: trained models, put
to use and passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.app import verb
from vesselforge.cli.names import DatasetArgument, ModelArgument
from vesselforge.cli.segmenter_verbs import app
from vesselforge.cli.verbs import (
    NOTHING_WRITTEN,
    WORKSPACE,
    FlipsOption,
    ForceOption,
    FovWidthOption,
    JsonOption,
    MaskValuesOption,
    PatternOption,
    RuntimeOption,
    WhichOption,
    WorkspaceOption,
    as_table,
    print_result,
    working,
)
from vesselforge.configs.errors import ConfigError

PREDICT = """vesselforge predict sa-unet-drive eye.png folder-of-eyes/ -o maps
    vesselforge predict my-run eye.png -o maps --model teacher --flips"""


@verb(app, example=PREDICT)
def predict(
    model: ModelArgument,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE_OR_FOLDER",
            help="Image files or folders of them.",
            readable=False,  # one that may not be read is skipped as any other fault
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the vessel maps.")],
    which: WhichOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Vessel from this probability on.", show_default="the model's"
        ),
    ] = None,
    flips: FlipsOption = False,
    fov_width: FovWidthOption = "model",
    bits: Annotated[int, typer.Option(help="8 or 16, of the probability map.")] = 8,
    runtime: RuntimeOption = "auto",
    tile: Annotated[
        int,
        typer.Option(help="Longest side of a tile in pixels; an image without longer ones is one."),
    ] = 1344,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Segment images: probability, mask, overlay and a summary.

    Maps are as large as their images. Greyscale, 16 bits, alpha and EXIF rotation are understood;
    what cannot be read is reported and skipped (exit status 2). Ctrl-C keeps what is finished.
    """
    if bits not in (8, 16):
        raise ConfigError(f"--bits: found {bits}, expected 8 or 16")
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device: found {device}, expected auto, cpu or cuda")
    from vesselforge.engine.devices import pick_device
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.inference.predict import predict_files
    from vesselforge.segmenter.models import Model

    with working("segmenting", "stopping: the current image is left out …") as progress:
        folder = model_folder(model, which, workspace)
        loaded = Model.load(
            folder,
            None if device == "auto" else pick_device(device),
            runtime,
            tile,
        )
        loaded.threshold = loaded.threshold if threshold is None else threshold
        rows = predict_files(loaded, images, out, progress, flips, bits, fov_width)
    done = [row for row in rows if "error" not in row]
    figures = [
        {
            "image": row["name"],
            "size": f"{row['width']} x {row['height']}",
            "vessel": row["vessel_share"],
            "in the FOV": row["vessel_share_fov"],
            "shown": f"× {row['scale']:.3g} ({row['found_by']})",
            "sure": row["sure"],
            "seconds": row["seconds"],
        }
        for row in done
    ]
    print_result(json_, rows, as_table(figures, f"vessel maps in {out}, by the model in {folder}"))
    for row in done:
        if row["remark"]:
            typer.echo(f"{row['file']}: {row['remark']}", err=True)
    if faults := [row["error"] for row in rows if "error" in row]:
        typer.echo("\n".join(f"skipped: {fault}" for fault in faults), err=True)
        raise typer.Exit(2)


@verb(app, example="vesselforge segmenter export sa-unet-drive -o sa-unet.onnx")
def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, *.onnx.")],
    force: ForceOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write a segmenter for other programs, as ONNX.

    Image in, vessel probability out, of any size. Padding, an ensemble's rule and the sigmoid are
    inside. The file is checked against PyTorch before it is written.
    """
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.inference.onnx_segmenter import export as write

    made = write(model_folder(model, workspace=workspace), out, force)
    told = (
        f"{out}: {' + '.join(made['networks'])}, threshold {made['threshold']:.3g}, "
        f"{made['bytes'] / 1e6:.1f} MB; image [batch, 3, height, width] → vessel_probability, "
        f"{made['difference']:.0e} off PyTorch's"
    )
    print_result(json_, made, told)


@verb(app, "import", example="vesselforge segmenter import weights.h5 -o published")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS_FILE", help="Weights or model that Keras wrote as .h5."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the model to write.")],
    network: Annotated[
        str, typer.Option(help="sa-unet, sa-unet-v2, … or auto: the one whose tensors these are.")
    ] = "auto",
    threshold: Annotated[
        float, typer.Option(help="Probability from which a pixel is vessel; published: 0.5.")
    ] = 0.5,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Convert published Keras weights to a model's folder.

    Needs h5py, no TensorFlow. The folder serves as MODEL of `predict`, `evaluate` and `export`.
    Every shape is checked. Images are padded at the right and at the bottom here; SA-UNet's authors
    padded DRIVE to 592 x 592 centred, which changes probabilities next to the image's border only.
    """
    from vesselforge.segmenter.exchange.keras import import_keras

    made = import_keras(file, out, network, threshold, force)
    version = f" of Keras {made['keras_version']}" if made["keras_version"] else ""
    told = (
        f"{out}: {made['network']}, {made['parameters']:,} parameters as Keras counts them, "
        f"threshold {made['threshold']:g}\n"
        f"from {made['source']}{version}, SHA-256 {made['sha256']}"
    )
    print_result(json_, made, told)


@verb(app, example="vesselforge segmenter calibrate sa-unet-drive my-eyes -o calibrated")
def calibrate(
    model: ModelArgument,
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the model to write.")],
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    components: Annotated[
        bool, typer.Option(help="Choose a rule of components: which pieces of the mask count.")
    ] = True,
    force: ForceOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Copy a model with honest probabilities, and clean masks.

    Temperature and shift, threshold and rule of components are chosen on development images;
    nothing is trained, and test images are not looked at.
    """
    from vesselforge.engine.files import refuse_to_overwrite, whole_folder
    from vesselforge.pipeline.models.scoring import development_images
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.calibration import recalibrate
    from vesselforge.segmenter.model_files import DESCRIPTIONS

    refuse_to_overwrite(out, "model", DESCRIPTIONS, force)
    folder = model_folder(model, workspace=workspace)
    images = development_images(dataset, pattern, mask_values)
    with working("calibrating", NOTHING_WRITTEN) as progress, whole_folder(out) as aside:
        made = recalibrate(folder, images, aside, progress, components)
    people = {"f1": None, "ece": None, "components": made["components_reference"]}
    rows = {"before": made["before"], "after": made["after"], "people": people}
    about = f"on the {made['images']} images"
    figures = as_table([{about: name} | found for name, found in rows.items()])
    told = f"{out}: threshold {made['threshold']:g}, {_chosen(made)}"
    print_result(json_, made | {"folder": str(out)}, figures, told)


def _chosen(made: dict[str, Any]) -> str:
    """Calibration and rule of components in words."""
    said = [
        f"temperature {c['temperature']:.4g}, shift {c['shift']:.3g}"
        for c in made["calibration"]
        if c
    ]
    if rule := made["components"]:
        said.append(f"pieces with {rule['sure']:g} somewhere and {rule['smallest']} pixels")
    return "; ".join(said or ["all pieces"])


@verb(
    app,
    example="vesselforge segmenter publish ARTIFACT --name net --scores s.json -o nets",
)
def publish(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="ARTIFACT", help="Finished artifact of `segmenter train`, in its workspace."
        ),
    ],
    name: Annotated[str, typer.Option(help="To give it, as in sa-unet-drive.")],
    scores: Annotated[
        list[Path],
        typer.Option(help="File with what `segmenter evaluate MODEL … --json` printed; repeat."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of such models.")],
    force: ForceOption = False,
) -> None:
    """Turn a trained model into a folder to ship.

    Weights, a card with its scores, checksums.
    """
    from vesselforge.pipeline.models.publish_segmenter import publish as write

    typer.echo(f"{write(model, name, scores, out, force)}: weights, README.md, checksums")
