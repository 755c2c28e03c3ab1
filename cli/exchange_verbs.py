"""`vesselforge generator import`, `export`, `models`, `publish`: generators from and for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselforge.cli.draw_verbs import GeneratorArgument
from vesselforge.cli.model_verbs import ForceOption, list_shipped
from vesselforge.cli.verbs import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    print_json,
    print_table,
    verb,
)


@verb
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pkl", help="Official StyleGAN2-ADA snapshot.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Convert an official .pkl to a generator's folder, running nothing from the file.

    The folder serves as GENERATOR of `draw`, `walk` and `export`, and as `generator.start_from`.
    """
    from vesselforge.generator.transfer.start_weights import import_official

    made = import_official(file, out, force)
    if json_:
        print_json(made)
        return
    side, channels, labels = made["resolution"], made["channels"], made["label_length"]
    condition = f"labels of length {labels}" if labels else "unconditional"
    typer.echo(f"{out}: {side} x {side}, {channels} channels, {condition}")
    print_table(made["networks"])
    for note in made["notes"]:
        typer.echo(note)
    typer.echo(f"origin: {made['origin']}")


@verb
def export(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, .onnx.")],
    force: ForceOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write a generator for other programs.

    ONNX: z and psi (and c, a label) to images, the layer noise fixed; checked against ONNX
    Runtime before it is written.
    """
    from vesselforge.pipeline.record import generator_folder

    folder = generator_folder(workspace, generator)
    from vesselforge.generator.export import export as write

    made = write(folder, out, force)
    if json_:
        print_json(made)
        return
    inputs = ", ".join(f"{name} {shape}" for name, shape in made["inputs"].items())
    typer.echo(f"{out}: {inputs} → image {made['output']}, {made['difference']:.0e} off ours")


@verb
def models(json_: JsonOption = False) -> None:
    """The trained generators that come with VesselForge.

    A name serves as GENERATOR of `draw`, `walk` and `export`, and as `generator.start_from`.
    """
    list_shipped(
        "generator", "KID against real windows, by the features that the card names", json_
    )


@verb
def publish(
    generator: Annotated[
        str,
        typer.Argument(
            metavar="ARTIFACT",
            help="Finished artifact of `generator train` in its workspace, or the name of a run.",
        ),
    ],
    name: Annotated[str, typer.Option(help="To give it, as in phantom-joint-64.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of such generators.")],
    figures: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of further figures for the card: {heading: {figure: value}}, such as "
            "F1 of students trained on real images, on synthetic ones, on both."
        ),
    ] = None,
    force: ForceOption = False,
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Turn a trained generator into a folder to ship: G_ema and D in float16, card, checksums.

    Of a generator that was trained on phantoms alone, a sheet of samples, too.
    """
    from vesselforge.pipeline.models.publish_generator import publish as write
    from vesselforge.pipeline.record import generator_folder

    folder = generator_folder(workspace, generator)
    made = write(folder, name, out, figures, force)
    typer.echo(f"{made}: weights, README.md, checksums")
