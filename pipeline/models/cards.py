"""How a card reads: what a published network's README.md is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselforge.engine.documents import flat
from vesselforge.pipeline.evidence import untrained

DATASETS = {
    "drive": "DRIVE (Staal et al. 2004), drive.grand-challenge.org; for research",
    "chase-db1": "CHASE_DB1 (Fraz et al. 2012), CC BY 4.0",
    "stare": "STARE (Hoover et al. 2000), cecas.clemson.edu/~ahoover/stare; for research",
    "phantom": "phantoms drawn by VesselForge",
}


def source(dataset: str) -> str:
    """What a card says of a dataset."""
    return DATASETS.get(dataset, "own images")


def render(card: Mapping[str, Any]) -> str:
    """README.md of a card: for people what it is for programs."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (Markdown, for people who read the source)
    )
    environment.filters["four"] = lambda value: "–" if value is None else f"{value:.4f}"
    environment.filters["short"] = lambda value: (
        f"{value:.4g}" if isinstance(value, float) else f"{value}"
    )
    environment.filters["untrained"] = lambda kimg: untrained({"kimg": kimg}, {})
    environment.filters["source"] = source
    environment.filters["told"] = told
    environment.filters["scored"] = lambda training: (
        training["scores"] | (training["scored_by"] or {})
    )
    environment.filters["columns"] = columns
    return environment.get_template(f"{card['kind']}_card.md.j2").render(card)


def columns(figures: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Figure → its value in each, a dash where there is none; nested ones by dotted names."""
    each = [dict(flat(values)) for values in figures]
    names = dict.fromkeys(name for values in each for name in values)
    return {name: [values.get(name, "–") for values in each] for name in names}


def told(training: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be known of a generator's training before its settings one by one."""
    recipe, seen = training["recipe"], training["trained_on"]
    kimg, whole = training["kimg"], training["trained_kimg"]
    drawn, end = seen["phantom"], recipe["d_noise_end"]
    size = " of {size} px, seed {seed}, version {version}".format(**drawn) if drawn else ""
    return {
        "data": seen["dataset"],
        "images": f"{seen['train']}{size}",
        "preset": recipe["preset"],
        "learning rate": _falling(recipe["lr"], recipe["lr_end"]),
        "noise on colours": _falling(recipe["d_noise"], end),
        "noise on masks": _falling(recipe["d_noise_mask"], end),
        "R1 weight": training["r1_gamma"],
        "batch": recipe["batch"],
        "kimg": f"{whole:g}" if kimg == whole else f"{kimg:g}, of a training of {whole:g}",
        "rollbacks": training["rollbacks"],
        "seed": training["seed"],
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['device']}",
        "made with": ", ".join(map(" ".join, training["versions"].items())),
        "artifact": f"`{training['artifact']}`",
    }


def _falling(value: float, share: float) -> str:
    """A setting from its first to its last step."""
    falls = value > 0 and share < 1
    return f"{value:.4g} → {value * share:.4g}" if falls else f"{value:.4g}"
