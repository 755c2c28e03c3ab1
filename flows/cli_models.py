"""`vesselforge segmenter import`, `models` and `publish`: models from and for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.verbs import JsonOption, print_json, print_table, verb

if TYPE_CHECKING:
    from pretrained import Kind

ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@verb
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS_FILE", help="Keras weights: .h5, .weights.h5 or .keras archive."
        ),
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
    from segmenter.exchange.keras import import_keras

    made = import_keras(file, out, network, threshold, force)
    if json_:
        print_json(made)
        return
    version = f" of Keras {made['keras_version']}" if made["keras_version"] else ""
    typer.echo(
        f"{out}: {made['network']}, {made['parameters']:,} parameters as Keras counts them, "
        f"threshold {made['threshold']:g}"
    )
    typer.echo(f"from {made['source']} ({made['layout']}{version}), SHA-256 {made['sha256']}")


@verb
def models(json_: JsonOption = False) -> None:
    """The trained models that come with VesselForge; each name serves as MODEL."""
    list_shipped("segmenter", "F1 and AUC pooled inside the FOV of the test images", json_)


def list_shipped(kind: Kind, about: str, json_: bool) -> None:
    """Print what there is of a kind. about: what the figures of the table mean."""
    import pretrained
    from flows.shipped import model_rows

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
    from flows.publishing.segmenter import publish as write

    typer.echo(f"{write(model, name, scores, out, force)}: weights, README.md, checksums")
