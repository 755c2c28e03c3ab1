"""Everything the template of a study shows, gathered section by section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.documents import records
from vesselforge.pipeline.study.schema import Copy, Results
from vesselforge.pipeline.study.study_sources import by_source, source_warnings
from vesselforge.report.pictures import Picture, opened, picture
from vesselforge.report.run.run_reading import Run, mapping
from vesselforge.report.run.training_section import settings_tables
from vesselforge.report.study import arm_names as on
from vesselforge.report.study import study_figures as figures
from vesselforge.report.study import study_tables as tables
from vesselforge.report.study import words
from vesselforge.report.study.arm_tables import arm_table, control_table, secondary_table
from vesselforge.report.study.forest import control_forest, forest
from vesselforge.report.study.sources_section import not_shown, sample_pictures, source_table
from vesselforge.report.study.study_reading import Study
from vesselforge.report.tables import (
    counted,
    duration,
    fixed,
    number,
    plain,
    plural,
    significant,
)

_HERE = Path(__file__).parent
MOST_PICTURES = 24
"""Pairs of a suspicious sample and its nearest training image; some 60 kB each."""
_PAIR_PX = 640
_RESEEDED = {"students": "students only", "samples": "samples and students", "all": "everything"}

SECTIONS = {
    "dose": "How many synthetic images",
    "forest": "Differences",
    "arms": "Arms",
    "secondary": "Other metrics",
    "sources": "Sources of synthetic images",
    "realism": "Realism and gain",
    "labels": "Pseudo-labels",
    "copies": "Memorisation",
    "ensembles": "Ensembles and references",
    "images": "Image by image",
    "trainings": "Trainings",
    "settings": "Settings",
    "provenance": "Provenance",
}


def render(study: Study, version: int) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader([_HERE, _HERE.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = {
        "version": version,
        "style": _read(_HERE.parent / "style.css") + _read(_HERE / "study.css"),
        "script": _read(_HERE.parent / "sort.js") + _read(_HERE / "study.js"),
        "sections": SECTIONS,
        **_opening(study),
        **_comparing(study.results),
        **_making(study),
        **_provenance(study),
        "image_tables": [
            table
            for place in on.places(study.results)
            if (table := tables.image_table(study, place)) is not None
        ],
    }
    content["problems"] = study.problems  # last: reading pictures finds some
    return environment.get_template("study.html.j2").render(content)


def _read(path: Path) -> Markup:
    return Markup(path.read_text())  # noqa: S704 (our own file, not a reader's: no need to escape)


def _opening(study: Study) -> dict[str, Any]:
    results, record = study.results, study.record
    failed = words.failure_lines(results)
    return {
        "name": results.name,
        "headline": results.headline,
        "warnings": source_warnings(results.synthetic),
        "caveats": words.caveats(results),
        "failure_title": words.failure_title(results) if failed else "",
        "failures": failed,
        "status": plain(record.get("status")),
        "message": str(record.get("message") or ""),
        "started": plain(record.get("started")),
        "finished": plain(record.get("finished")),
        "seconds": duration(record.get("seconds")),
        "tiles": tiles(results),
    }


def tiles(results: Results) -> list[tuple[str, str, str]]:
    """The few numbers worth a glance: (name, value, what limits it)."""
    arms, primary = on.compared(results), results.primary
    effects = [e for arm in results.arms if (e := on.effect_at(arm, primary)) is not None]
    seeds = ", ".join(map(str, results.seeds[:6])) + (", …" if len(results.seeds) > 6 else "")
    runs = sum(len(arm.runs) for arm in results.arms)
    completed = sum(map(on.done, results.arms))
    several = len(results.endpoints) > 1
    found = [
        (
            "Decided on",
            "; ".join(e.name for e in results.endpoints) if several else on.set_name(primary),
            f"{on.observer_name(primary)}, {words.region(results)}",
        ),
        ("Arms with synthetic images", counted(len(arms)), f"{completed:,} of {runs:,} trainings"),
        (
            "Seeds",
            counted(len(results.seeds)),
            f"{seeds}; they change {_RESEEDED.get(results.reseed, results.reseed)}",
        ),
        ("Optimiser steps", counted(results.steps), "in every arm"),
        (
            "Test images",
            counted(max((e.images for e in effects), default=None)),
            on.set_name(primary),
        ),
    ]
    limits = words.detectable(results, primary)
    if limits is not None:
        note = f"{100 * results.power:g} % power; " + (
            "every arm" if limits[0] == limits[1] else f"{fixed(limits[0])} in the surest arm"
        )
        found.append(("Smallest detectable effect", fixed(limits[1]), note))
    return found + _sample_tiles(results)


def _sample_tiles(results: Results) -> list[tuple[str, str, str]]:
    found = []
    realism = [arm.realism for arm in results.arms if arm.realism is not None]
    kid = sorted(k for r in realism if (k := number(r.kid)) is not None)
    if kid:
        floor = next((f for r in realism if (f := number(r.kid_floor)) is not None), None)
        value = " to ".join(dict.fromkeys(significant(k, 2) for k in (kid[0], kid[-1])))
        unsure = _unsure(results)
        note = f"real against real: {significant(floor)}{unsure and f'; {unsure}'}"
        found.append(("KID of the samples", value, note))
    synthetic = [one for one in results.synthetic if not one.photographs]
    drawn = sum(one.drawn for one in synthetic)
    if drawn:
        kept = sum(one.kept for one in synthetic)
        found.append(("Samples kept", f"{100 * kept / drawn:.0f} %", f"{kept:,} of {drawn:,}"))
    return found


def _unsure(results: Results) -> str:
    """For how many sources KID cannot tell."""
    said = [source.kid for source in by_source(results.synthetic) if source.kid]
    unsure = sum(one.startswith("cannot tell") for one in said)
    if not unsure:
        return ""
    which = "" if unsure == len(said) else f" for {unsure} of {plural(len(said), 'source')}"
    return f"cannot tell{which}"


def _comparing(results: Results) -> dict[str, Any]:
    where, sizes = on.places(results), on.shown_sizes(results)
    decisive = on.endpoints(results)
    dose = [
        (figures.place_title(results, place, size), found)
        for place in where
        for size in (sizes if place in decisive else sizes[:1])
        if (found := figures.dose_figures(results, place, size))
    ]
    learning = [figures.learning_figure(results, place) for place in where]
    plots = [forest(results, place, size) for place in where for size in sizes]
    held = [control_forest(results, place, size) for place in decisive for size in sizes]
    realism = [
        figures.realism_figure(results, *fields)
        for fields in (
            ("kid", "KID", "KID, the lower the more like the real images."),
            ("distance", "distance to the nearest training image", _DISTANCE),
        )
    ]
    ensembles = tables.score_table(results, results.ensembles, "Ensembles of all seeds.", True)
    references = tables.score_table(results, results.references, "References.", False)
    return {
        "dose": dose,
        "intervals": words.intervals_explained(results),
        "few_sizes": counted(sizes[0]) if len(sizes) > 1 and len(where) > len(decisive) else "",
        "learning_figures": [figure for figure in learning if figure is not None],
        "forests": [figure for figure in plots if figure is not None],
        "control_forests": [figure for figure in held if figure is not None],
        "short": words.short_note(results),
        "decision": words.decision(results),
        "detectable": words.detectable_sentence(results),
        "arm_tables": [arm_table(results, place) for place in where] if results.arms else [],
        "control_tables": [t for place in where if (t := control_table(results, place))],
        "secondary_tables": [t for place in where if (t := secondary_table(results, place))],
        "realism_figures": [figure for figure in realism if figure is not None],
        "score_tables": [table for table in (ensembles, references) if table is not None],
    }


_DISTANCE = (
    "how far samples are from their nearest training image, in units of how far held-out images "
    "are; below 1 they are nearer than new images would be."
)


def _making(study: Study) -> dict[str, Any]:
    results = study.results
    bars = figures.filter_figure(results)
    return {
        "source_table": source_table(results),
        "sample_pictures": sample_pictures(study),
        "not_shown": not_shown(results),
        "filter_table": tables.filter_table(results),
        "filter_figures": [] if bars is None else [bars],
        "realism_table": tables.realism_table(results),
        "copies_counted": any(a.realism and a.realism.copies is not None for a in results.arms),
        "copy_table": tables.copy_table(results),
        "copy_pictures": copy_pictures(study),
        "copies_left_out": max(0, sum(bool(c.picture) for c in results.copies) - MOST_PICTURES),
    }


def copy_pictures(study: Study) -> list[Picture]:
    """Suspicious samples beside their nearest training images: the nearest pairs, so many."""
    with_picture = [copy for copy in study.results.copies if copy.picture]
    nearest = sorted(with_picture, key=lambda c: (c.distance, c.source, c.sample))
    found = []
    for copy in nearest[:MOST_PICTURES]:
        content = study.picture(copy.picture)
        alt = f"Sample {copy.sample} beside training image {copy.image}"
        shown = picture(opened(content), alt, _copy_caption(copy), _PAIR_PX)
        if shown is not None:
            found.append(shown)
        elif content is not None:
            study.note(f"pictures/{copy.picture} is no readable picture; it is not shown")
    return found


def _copy_caption(copy: Copy) -> str:
    overlap = "" if copy.overlap is None else f", vessel overlap {fixed(copy.overlap, 3)}"
    return (
        f"{copy.sample} ({copy.source}) and {copy.image}: distance "
        f"{fixed(copy.distance, 3)}{overlap}; {tables.fate(copy.rejected)}."
    )


def _provenance(study: Study) -> dict[str, Any]:
    record = study.record
    run = Run(record, {}, [], [])
    return {
        "trainings": tables.training_table(study.results),
        "settings": settings_tables(run, StudyConfig),
        "steps": tables.step_table(records(record.get("steps"))),
        "artifacts": tables.artifact_table(record),
        "versions": tables.version_table(mapping(record.get("versions"))),
    }
