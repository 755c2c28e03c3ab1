"""`vesselforge segmenter import`: models from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.verbs import JsonOption, print_json, verb

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
