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
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace images in the folder drawn with other settings."),
    ] = False,
    batch: Annotated[int, typer.Option(help="Images per forward pass on a GPU.")] = 16,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Draw images of chosen seeds from a trained generator; no config needed.

    The same seed and settings give the same image, whatever is drawn beside it. With more seeds
    later, the folder keeps the images it has. `sample` does the same step for a whole config.
    """
    from vesselforge.configs.ranges import parse_seeds

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=class_, batch=batch)
    folder = _folder(generator, workspace)
    from vesselforge.generator.sampling.album import draw_album

    with working("drawing", "stopping: what is drawn stays …") as progress:
        content = draw_album(folder, out, chosen, settings, progress, grid, force)
    if json_:
        print_json({"folder": str(out), "images": len(chosen)} | content)
    else:
        typer.echo(f"{len(chosen)} images in {out}; the folder holds the seeds {content['seeds']}")


@verb
def walk(
    generator: GeneratorArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write: .gif or .mp4.")],
    seeds: Annotated[
        str, typer.Option(metavar="0-3", help="Images on the way, in this order and back.")
    ] = "0-3",
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Of the whole loop.")] = 60,
    psi: PsiOption = 0.7,
    fps: Annotated[float, typer.Option(min=1, max=120, help="Frames per second.")] = 30,
    class_: ClassOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Film a walk through latent space, from seed to seed and back to the first.

    The layer noise stands still. MP4 needs one more package: pip install imageio-ffmpeg.
    """
    from vesselforge.configs.ranges import parse_seeds

    chosen = parse_seeds(seeds)
    settings = _settings(psi=psi, label=class_)
    folder = _folder(generator, workspace)
    from vesselforge.generator.sampling.walk import walk as film

    with working("walking", STOPPING) as progress:
        made = film(folder, out, chosen, frames, settings, progress, fps)
    if json_:
        print_json(made)
    else:
        size = f"{made['width']} x {made['height']}"
        typer.echo(f"{made['frames']} frames of {size}, {made['fps']:.4g} a second: {made['file']}")


def _settings(**values: Any) -> Any:
    """SampleSettings of what was typed; ConfigError names the option that is wrong."""
    from vesselforge.configs.load import validate
    from vesselforge.configs.settings import SampleSettings

    return validate(SampleSettings, values, "options")


def _folder(given: str, workspace: Path) -> Path:
    from vesselforge.pipeline.record import generator_folder

    return generator_folder(workspace, given)
