"""`vesselforge generator draw` and `walk`: pictures from a trained generator, without a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.verbs import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    print_json,
    verb,
    working,
)

STOPPING = "stopping: nothing is written …"
GeneratorArgument = Annotated[
    str,
    typer.Argument(
        metavar="GENERATOR",
        help="Folder of a trained or imported generator (generator.json is in it), the name of a "
        "run, or of a generator that `vesselforge generator models` lists.",
    ),
]
PsiOption = Annotated[
    float, typer.Option(help="Truncation: 1 none, less is more typical, 0 the mean image.")
]
ClassOption = Annotated[
    int | None,
    typer.Option(
        "--class",
        metavar="NUMBER",
        help="Class of a conditional generator; drawn from its training labels when not given.",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@verb
def draw(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the images.")],
    seeds: Annotated[
        str, typer.Option(metavar="0-31,100", help="One image a seed; ranges and single ones.")
    ] = "0-31",
    psi: PsiOption = 0.7,
    class_: ClassOption = None,
    grid: Annotated[bool, typer.Option("--grid", help="Also write grid.png, all on a sheet.")] = (
        False
    ),
    batch: Annotated[int, typer.Option(help="Images per forward pass on a GPU.")] = 16,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Draw images of chosen seeds from a trained generator; no config needed.

    The same seed and settings give the same image, whatever is drawn beside it. With more seeds
    later, the folder keeps the images it has. `sample` does the same step for a whole config.
    """
    from vesselforge.configs.ranges import parse_seeds

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=class_, batch=batch, device=device)
    folder = _folder(generator, workspace)
    from vesselforge.generator.sampling.sample_set import draw_album

    with working("drawing", "stopping: what is drawn stays …") as progress:
        content = draw_album(folder, out, chosen, settings, progress, grid)
    if json_:
        print_json({"folder": str(out), "images": len(chosen)} | content)
    else:
        typer.echo(f"{len(chosen)} images in {out}; the folder holds the seeds {content['seeds']}")


@verb
def walk(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, .gif.")],
    seeds: Annotated[
        str, typer.Option(metavar="0-3", help="Images on the way, in this order and back.")
    ] = "0-3",
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Of the whole loop.")] = 60,
    psi: PsiOption = 0.7,
    class_: ClassOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Film a walk through latent space, from seed to seed and back to the first.

    The layer noise stands still.
    """
    from vesselforge.configs.ranges import parse_seeds

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=class_, device=device)
    folder = _folder(generator, workspace)
    from vesselforge.generator.sampling.walk import walk as film

    with working("walking", STOPPING) as progress:
        made = film(folder, out, chosen, frames, settings, progress)
    if json_:
        print_json(made)
    else:
        size = f"{made['width']} x {made['height']}"
        typer.echo(f"{made['frames']} frames of {size}: {made['file']}")


def _settings(**values: Any) -> Any:
    """SampleSettings of what was typed; ConfigError names the option that is wrong."""
    from vesselforge.configs.load import validate
    from vesselforge.configs.settings import SampleSettings

    return validate(SampleSettings, values, "options")


def _folder(given: str, workspace: Path) -> Path:
    from vesselforge.pipeline.record import generator_folder

    return generator_folder(workspace, given)
