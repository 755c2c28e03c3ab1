"""`vesselforge generator …`: StyleGAN2-ADA alone, sharing the pipeline's artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.app import new_app, verb
from vesselforge.cli.names import GeneratorArgument
from vesselforge.cli.verbs import (
    NOTHING_WRITTEN,
    WORKSPACE,
    ForceOption,
    JsonOption,
    WorkspaceOption,
    add_step,
    as_table,
    print_result,
    working,
)
from vesselforge.configs.load import validate
from vesselforge.configs.ranges import parse_seeds

app = new_app("StyleGAN2-ADA alone: train, sample, score.\n\nShares its artifacts with `run`.")
PsiOption = Annotated[
    float, typer.Option(help="Truncation: 1 none, less is more typical, 0 the mean image.")
]
ClassOption = Annotated[
    int | None,
    typer.Option(
        "--class",
        metavar="NUMBER",
        help="Class of a conditional generator.",
        show_default="drawn from its training labels",
    ),
]


SAMPLE = """Draw the synthetic images of a config.

Trains the generator first if need be.
"""
SCORE = """Score a config's samples: FID, KID, coverage and copies.

Precision, recall and density, too. Does what comes before if need be. --set score.features=random
or inception needs no teacher.
"""
TRAIN = "Train the generator of a config."
add_step(app, "train", "generator", TRAIN, "vesselforge generator train drive-gan")
add_step(app, "sample", "samples", SAMPLE, "vesselforge generator sample quickstart")
add_step(
    app,
    "score",
    "scores",
    SCORE,
    "vesselforge generator score quickstart --set score.features=random",
)


@verb(app, example="vesselforge generator draw phantom-joint-64 -o images --seeds 0-31 --grid")
def draw(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the images.")],
    seeds: Annotated[
        str, typer.Option(metavar="0-31,100", help="One image a seed; ranges and single ones.")
    ] = "0-31",
    psi: PsiOption = 0.7,
    label: ClassOption = None,
    grid: Annotated[bool, typer.Option("--grid", help="Also write grid.png, all on a sheet.")] = (
        False
    ),
    batch: Annotated[int, typer.Option(help="Images per forward pass on a GPU.")] = 16,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Draw images of chosen seeds; no config needed.

    The same seed and settings give the same image, whatever is drawn beside it. With more seeds
    later, the folder keeps the images it has. `sample` does the same step for a whole config.
    """
    from vesselforge.pipeline.record import generator_folder

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=label, batch=batch)
    folder = generator_folder(workspace, generator)
    from vesselforge.generator.sampling.sample_set import draw_album

    with working("drawing", "stopping: what is drawn stays …") as progress:
        content = draw_album(folder, out, chosen, settings, progress, grid)
    told = f"{len(chosen)} images in {out}; the folder holds the seeds {content['seeds']}"
    print_result(json_, {"folder": str(out), "images": len(chosen)} | content, told)


@verb(app, example="vesselforge generator walk phantom-joint-64 -o walk.gif")
def walk(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, .gif.")],
    seeds: Annotated[
        str, typer.Option(metavar="0-3", help="Images on the way, in this order and back.")
    ] = "0-3",
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Of the whole loop.")] = 60,
    psi: PsiOption = 0.7,
    label: ClassOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Film a walk through latent space, from seed to seed.

    And back to the first. The layer noise stands still.
    """
    from vesselforge.pipeline.record import generator_folder

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=label)
    folder = generator_folder(workspace, generator)
    from vesselforge.generator.sampling.walk import walk as film

    with working("walking", NOTHING_WRITTEN) as progress:
        made = film(folder, out, chosen, frames, settings, progress)
    size = f"{made['width']} x {made['height']}"
    print_result(json_, made, f"{made['frames']} frames of {size}: {made['file']}")


@verb(app, "import", example="vesselforge generator import ffhq.pkl -o ffhq")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pkl", help="Official StyleGAN2-ADA snapshot.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    force: ForceOption = False,
    json_: JsonOption = False,
) -> None:
    """Convert an official .pkl to a generator's folder.

    Nothing from the file is run. The folder serves as GENERATOR of `draw`, `walk` and `export`, and
    as `generator.start_from`.
    """
    from vesselforge.generator.transfer.start_weights import import_official

    made = import_official(file, out, force)
    side, channels, labels = made["resolution"], made["channels"], made["label_length"]
    condition = f"labels of length {labels}" if labels else "unconditional"
    about = f"{out}: {side} x {side}, {channels} channels, {condition}"
    networks, origin = as_table(made["networks"]), f"origin: {made['origin']}"
    print_result(json_, made, about, networks, *made["notes"], origin)


@verb(app, example="vesselforge generator export phantom-joint-64 -o generator.onnx")
def export(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, .onnx.")],
    force: ForceOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write a generator for other programs, as ONNX.

    z and psi (and c, a label) to images, the layer noise fixed; checked against ONNX
    Runtime before it is written.
    """
    from vesselforge.pipeline.record import generator_folder

    folder = generator_folder(workspace, generator)
    from vesselforge.generator.onnx_export import export as write

    made = write(folder, out, force)
    inputs = ", ".join(f"{name} {shape}" for name, shape in made["inputs"].items())
    told = f"{out}: {inputs} → image {made['output']}, {made['difference']:.0e} off ours"
    print_result(json_, made, told)


@verb(app, example="vesselforge generator publish my-run --name my-generator -o published")
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
    """Turn a trained generator into a folder to ship.

    G_ema and D in float16, a card, checksums. Of a generator that was trained on phantoms alone, a
    sheet of samples, too.
    """
    from vesselforge.pipeline.models.publish_generator import publish as write
    from vesselforge.pipeline.record import generator_folder

    folder = generator_folder(workspace, generator)
    made = write(folder, name, out, figures, force)
    typer.echo(f"{made}: weights, README.md, checksums")


def _settings(**values: Any) -> Any:
    """SampleSettings of what was typed. Raises ConfigError."""
    from vesselforge.configs.settings import SampleSettings

    return validate(SampleSettings, values, "options")
