"""`vesselforge segmenter score` and `check-table`: maps, observers and quoted tables."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vesselforge.cli.verbs import JsonOption, print_json, print_table, verb, working
from vesselforge.configs.catalogue import KNOWN_NAMES, SECOND_OBSERVERS
from vesselforge.configs.errors import DataError


class Split(StrEnum):
    """Which images of a known dataset."""

    test = "test"
    all = "all"


SplitOption = Annotated[
    Split,
    typer.Option(help="Of a known dataset: its test split, or all images (for foreign models)."),
]
DatasetOption = Annotated[
    str,
    typer.Option(help=f"Dataset by name ({KNOWN_NAMES}) or folder (images/, masks/)."),
]


@verb
def score(
    maps: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of probability maps or masks, one an image, named by its identifier."
        ),
    ] = None,
    dataset: DatasetOption = "drive",
    observer: Annotated[
        list[str] | None,
        typer.Option(help=f"Score this human ({SECOND_OBSERVERS}); repeatable."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Maps are vessel from here on.")
    ] = 0.5,
    split: SplitOption = Split.test,
    per_image: Annotated[
        Path | None, typer.Option(help="Write every image's scores to this CSV file.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Score maps on disk against every observer, or one human observer against the first.

    Maps of a dataset with two observers get three lines: maps against either, human against human.
    """
    from vesselforge.pipeline.models.score_rows import REGIONS, pixel_rows, scored_lines
    from vesselforge.pipeline.models.scoring import Scorer

    if maps is None and not observer:
        raise DataError("nothing to score: name a folder of maps, or a human with --observer 2nd")
    with working(f"reading {dataset}") as progress:
        scorer = Scorer(dataset, split.value, progress)
        if maps is not None:
            scorer.score_maps(maps, threshold)
        for name in observer or scorer.observers[1:]:
            scorer.score_observer(name)
    if per_image is not None:
        scorer.write_rows(per_image)
    result = scorer.result()
    if json_:
        print_json(result)
        return
    lines, about = scored_lines(result), f"{dataset}, {result['images']} images ({split.value})"
    for region, where in REGIONS.items():
        print_table(pixel_rows(lines, region), f"{about}, pooled, {where}")


@verb
def check_table(
    table: Annotated[
        Path, typer.Argument(help="CSV with columns name, se, sp, acc[, precision, f1, mcc].")
    ],
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Vessel share of a protocol, as whole=0.0876; repeatable."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Measure the shares of this dataset: whole and fov.")
    ] = None,
    split: SplitOption = Split.test,
    json_: JsonOption = False,
) -> None:
    """Check quoted results: ACC = SE·p + SP·(1 − p) tells which pixels were counted.

    A row `fits` a protocol within rounding, or is near it (in brackets), as means over images are.
    """
    from vesselforge.segmenter.metrics.consistency import check_table

    shares = _shares(share or [])
    if dataset is not None:
        from vesselforge.pipeline.models.scoring import Scorer

        with working(f"reading {dataset}") as progress:
            shares |= Scorer(dataset, split.value, progress).shares()
    rows = check_table(table, shares)
    if json_:
        print_json({"shares": shares, "rows": rows})
        return
    known = ", ".join(f"{name} {value:.4f}" for name, value in shares.items()) or "none given"
    print_table([_readable(row) for row in rows], f"vessel shares: {known}")


def _shares(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not 0 < value < 1:
            raise DataError(f"--share {text!r}: expected NAME=VALUE with a value between 0 and 1")
        found[name] = value
    return found


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    known = row["share"] is not None
    span = f"{row['share']:.4f} ({row['share_low']:.4f} to {row['share_high']:.4f})"
    fits = [*row["fits"], *(f"({name})" for name in row["near"])]
    return {
        "name": row["name"],
        "implied vessel share": span if known else "SE = SP: any",
        "fits": fits,
        "problems": "; ".join(row["problems"]),
    }
