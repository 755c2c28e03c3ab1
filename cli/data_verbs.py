"""`vesselforge data …`: look at datasets before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vesselforge.cli.app import new_app, verb
from vesselforge.cli.names import dataset_names, setting_names
from vesselforge.cli.verbs import (
    JsonOption,
    MaskValuesOption,
    PatternOption,
    add_step,
    as_table,
    print_result,
    working,
)
from vesselforge.configs.catalogue import KNOWN_NAMES
from vesselforge.configs.load import override

if TYPE_CHECKING:
    from vesselforge.data.datasets import Dataset

app = new_app("Datasets: unpack, check, import, prepare, draw phantoms.")


@verb(
    app,
    example="""vesselforge data check my-eyes
    vesselforge data check drive --root /where/it/is""",
)
def check(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            autocompletion=dataset_names,
            help=f"{KNOWN_NAMES}, phantom, or a folder: images and masks, or images alone for the "
            "generator.",
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option(
            help="The dataset's folder.", show_default="its usual place below $VESSELFORGE_DATA"
        ),
    ] = None,
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a=value",
            help="A setting of the group `data`; repeatable.",
            autocompletion=setting_names("settings:PipelineConfig", "data."),
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Prove that a dataset is sound, or list what is wrong with it."""
    from vesselforge.data.datasets import load_settings, named_settings

    settings = override(named_settings(dataset, root, pattern, mask_values), set_, "--set")
    _check(load_settings(settings, lenient=True), json_)


def _check(dataset: Dataset, json_: bool, before: dict[str, Any] | None = None) -> None:
    """Print what is in a dataset and what is wrong with it; DataError when anything is. before:
    what JSON has in front of the report."""
    from vesselforge.configs.errors import DataError
    from vesselforge.data.layouts.check import check as check_all

    with working("checking") as progress:
        report = check_all(dataset, progress=progress)
    splits = as_table(report.splits(), f"{report.name} {report.root or ''}".strip())
    told = [f"{problem.severity}: {problem}" for problem in report.problems]
    if not report.errors:
        told.append("sound" if not report.warnings else "sound, with warnings")
    print_result(json_, (before or {}) | report.to_dict(), splits, *told)
    if report.errors:
        raise DataError(f"{report.name}: {len(report.errors)} errors in this dataset")


@verb(app, example="vesselforge data unpack drive training.zip test.zip")
def unpack(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help=f"{KNOWN_NAMES}, or the folder to make for another one.",
            autocompletion=dataset_names,
        ),
    ],
    archives: Annotated[
        list[Path],
        typer.Argument(metavar="ARCHIVE.zip", help="All that belong to it, in one go."),
    ],
    json_: JsonOption = False,
) -> None:
    """Unpack a dataset's zip files where it is looked for; check it.

    `data unpack drive training.zip test.zip` writes datasets/DRIVE, whole or not at all. Names
    that lead outside, links, encrypted files and archives that blow up are refused.
    """
    from vesselforge.data.datasets import named_dataset, place_of
    from vesselforge.data.formats.archives import unpack as unpack_all
    from vesselforge.data.layouts.roles import is_part

    folder = place_of(dataset)
    count = unpack_all(archives, folder, is_part)
    typer.echo(f"{folder}: {count} files unpacked", err=True)
    _check(named_dataset(dataset, lenient=True), json_)


@verb(
    app,
    "import",
    example="""vesselforge data import my-photos my-eyes --dry-run
    vesselforge data import photos.zip my-eyes --pattern '(?P<id>[0-9]{3})'""",
)
def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of images and masks, or a zip file of it.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder to write: images/, masks/ and fov/.")
    ],
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    masks_drawn_on: Annotated[
        Literal["stored", "upright"] | None,
        typer.Option(
            help="Of photos that their EXIF tag turns: whether masks fit them as they are stored, "
            "or upright, as viewers show them.",
            show_default="what the sizes tell, or an error",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is matched.")] = False,
    json_: JsonOption = False,
) -> None:
    """Lay any folder or zip out as images/, masks/ and fov/.

    With equal names, and checked. Shows which mask and FOV belongs to which image, and what is left
    out and why. Files are copied as they are; photos that their EXIF tag turns become upright ones.
    Whatever is not clear is an error, and nothing is written.
    """
    from vesselforge.data.datasets import named_dataset
    from vesselforge.data.layouts.importing import opened, plan

    with opened(source) as root:
        planned = plan(root, pattern, masks_drawn_on)
        left = {
            reason: [path.relative_to(root).as_posix() for path in files]
            for reason, files in planned.found.left_out.items()
        }
        if not dry_run:
            with working("copying") as progress:
                planned.write(out, progress)
    result = {"folder": str(out), "matched": planned.rows(), "left_out": left}
    told = [f"left out, {reason}: {', '.join(files)}" for reason, files in left.items()]
    if dry_run:
        warned = [f"warning: {source}: {text}" for text in planned.warnings()]
        result, told = result | {"warned": warned}, [*told, *warned]
    if dry_run or not json_:
        print_result(json_, result, as_table(planned.rows(), f"{source}"), *told)
    if dry_run:
        return
    typer.echo(f"{out}: {len(planned.copies)} images with masks written", err=True)
    _check(named_dataset(str(out), lenient=True, mask_values=mask_values), json_, result)


PREPARE = "Check and decode the images of a config, without the test."
add_step(app, "prepare", "development", PREPARE, "vesselforge data prepare drive-cpu")


@verb(
    app,
    example="""vesselforge data phantom phantoms --set train=16 --set size=384
    vesselforge data phantom phantoms --like my-eyes --randomise 0.5""",
)
def phantom(
    out: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder to write images/, masks/ and fov/ into.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="key=value",
            help="train, validation, test, size, seed.",
            autocompletion=setting_names("settings:PhantomSettings"),
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help=f"{KNOWN_NAMES}, or a folder of images and masks: phantoms look like its training "
            "images and are as large.",
        ),
    ] = None,
    pattern: PatternOption = None,
    mask_values: MaskValuesOption = None,
    randomise: Annotated[
        float, typer.Option(min=0, max=1, help="Domain randomisation, 0 to 1: any camera.")
    ] = 0.0,
    json_: JsonOption = False,
) -> None:
    """Write procedural fundus images with exact vessel masks."""
    from vesselforge.configs.settings import PhantomSettings
    from vesselforge.data.datasets import named_dataset
    from vesselforge.data.layouts.splits import TRAIN
    from vesselforge.data.phantoms.appearance import GENERIC
    from vesselforge.data.phantoms.fitted import fit_appearance
    from vesselforge.data.phantoms.sets import write_phantoms
    from vesselforge.engine.store import explained

    look = GENERIC
    if like:
        seen = named_dataset(like, pattern=pattern, mask_values=mask_values).split(TRAIN)
        look = fit_appearance([item.loaded() for item in seen])
    changes = list(set_ or [])
    if look.side is not None and not any(one.startswith("size=") for one in changes):
        changes.append(f"size={look.side}")
    settings = override(PhantomSettings(), changes, "--set")
    with explained(out, named=True):
        written = write_phantoms(out, settings, look, randomise)
    result = {"folder": str(out), "images": written}
    print_result(json_, result, f"{len(written)} phantom images in {out}")
