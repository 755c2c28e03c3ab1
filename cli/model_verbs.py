"""`vesselforge segmenter import`, `calibrate`, `models` and `publish`: models as folders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesselforge.cli.verbs import JsonOption, print_json, print_table, verb, working
from vesselforge.configs.catalogue import KNOWN_NAMES

if TYPE_CHECKING:
    from vesselforge.pretrained import Kind

STOPPING = "stopping: nothing is written …"
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@verb
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS_FILE", help="Weights or model that Keras wrote as .h5."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the model to write.")],
    network: Annotated[
        str,
        typer.Option(help="sa-unet, sa-unet-v2, … or auto: the one whose tensors these are."),
    ] = "auto",
    threshold: Annotated[
        float, typer.Option(help="Probability from which a pixel is vessel; published: 0.5.")
    ] = 0.5,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Convert published Keras weights to a model's folder; needs h5py, no TensorFlow.

    The folder serves as MODEL of `predict`, `evaluate` and `export`. Every shape is checked.
    Images are padded at the right and at the bottom here; SA-UNet's authors padded DRIVE to
    592 x 592 centred, which changes probabilities next to the image's border only.
    """
    from vesselforge.segmenter.exchange.keras import import_keras

    made = import_keras(file, out, network, threshold, force)
    if json_:
        print_json(made)
        return
    version = f" of Keras {made['keras_version']}" if made["keras_version"] else ""
    typer.echo(
        f"{out}: {made['network']}, {made['parameters']:,} parameters as Keras counts them, "
        f"threshold {made['threshold']:g}"
    )
    typer.echo(f"from {made['source']}{version}, SHA-256 {made['sha256']}")


class Part(StrEnum):
    """Which images of a dataset's development."""

    development = "development"
    validation = "validation"


@verb
def calibrate(
    model: Annotated[
        Path,
        typer.Argument(help="Folder of a model, of a run, or the name of one that comes along."),
    ],
    dataset: Annotated[
        str,
        typer.Argument(help=f"Dataset by name ({KNOWN_NAMES}) or folder (images/, masks/)."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the model to write.")],
    on: Annotated[
        Part, typer.Option(help="Its training and validation images, or the latter alone.")
    ] = Part.development,
    components: Annotated[
        bool, typer.Option(help="Choose a rule of components: which pieces of the mask count.")
    ] = True,
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Write a copy of a trained model with honest probabilities, and masks without specks.

    Temperature and shift, threshold and rule of components are chosen on development images;
    nothing is trained, and test images are not looked at.
    """
    from vesselforge.data.layouts.splits import TRAIN, VALIDATION
    from vesselforge.engine.folders import whole_folder
    from vesselforge.pipeline.models.scoring import development_images
    from vesselforge.pipeline.record import model_folder
    from vesselforge.segmenter.calibration import recalibrate
    from vesselforge.segmenter.exchange.keras import refuse_to_overwrite

    refuse_to_overwrite(out, force)
    folder = model_folder(model)
    splits = (VALIDATION,) if on == Part.validation else (TRAIN, VALIDATION)
    images = development_images(dataset, splits)
    with working("calibrating", STOPPING) as progress, whole_folder(out) as aside:
        made = recalibrate(folder, images, aside, progress, components)
    made |= {"folder": str(out)}
    if json_:
        print_json(made)
        return
    people = {"f1": None, "ece": None, "components": made["components_reference"]}
    rows = {"before": made["before"], "after": made["after"], "people": people}
    about = f"on the {made['images']} images"
    print_table([{about: name} | figures for name, figures in rows.items()])
    typer.echo(f"{out}: threshold {made['threshold']:g}, {_chosen(made)}")


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


@verb
def models(json_: JsonOption = False) -> None:
    """The trained models that come with VesselForge; each name serves as MODEL."""
    list_shipped("segmenter", "F1 and AUC pooled inside the FOV of the test images", json_)


def list_shipped(kind: Kind, about: str, json_: bool) -> None:
    """Print what there is of a kind. about: what the figures of the table mean."""
    from vesselforge import pretrained
    from vesselforge.pipeline.models.model_rows import model_rows

    if json_:
        print_json({name: pretrained.card(name) for name in pretrained.names(kind)})
    elif rows := model_rows(kind):
        print_table(rows, f"trained {kind}s; {about}")
    else:
        typer.echo(f"no trained {kind}s come with this installation")


@verb
def publish(
    model: Annotated[
        Path, typer.Argument(help="Finished artifact of `segmenter train`, in its workspace.")
    ],
    name: Annotated[str, typer.Option(help="To give it, as in sa-unet-drive.")],
    scores: Annotated[
        list[Path],
        typer.Option(help="File with what `segmenter evaluate MODEL … --json` printed; repeat."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of such models.")],
    force: ForceOption = False,
) -> None:
    """Turn a trained model and its scores into a folder to ship: weights, card and checksums."""
    from vesselforge.pipeline.models.publish_segmenter import publish as write

    typer.echo(f"{write(model, name, scores, out, force)}: weights, README.md, checksums")
