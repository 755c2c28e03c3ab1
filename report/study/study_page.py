"""The page of a study: what synthetic images did to the metric, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.models.score_rows import REGIONS
from vesselforge.pipeline.study.schema import RESULTS, Results, read_results
from vesselforge.pipeline.study.study_sources import source_warnings
from vesselforge.report.formatting import counted, fixed
from vesselforge.report.page import (
    Block,
    Figures,
    Note,
    Page,
    Section,
    Text,
    Tile,
    by_place,
    folded,
    group,
)
from vesselforge.report.record_sections import record_sections
from vesselforge.report.study import arm_names as on
from vesselforge.report.study import arm_tables as tables
from vesselforge.report.study import source_tables as sources
from vesselforge.report.study import study_charts as charts
from vesselforge.report.study import words
from vesselforge.report.study.study_reading import Study

_UNSCORED = "No ensembles and no references were scored."
_RESEEDED = {"students": "students only", "samples": "samples and students", "all": "everything"}


def study_page(folder: Path, record: dict[str, Any]) -> Page:
    """Scores and pictures first, settings last; of results.json, samples-*.png and pictures/ in the
    run folder."""
    study = Study(folder, read_results(folder / RESULTS))
    results = study.results
    warnings = source_warnings(results.synthetic)
    notes = [
        Note("Read no score of these sources without this", warnings),
        Note(*words.failures(results)),
    ]
    sections = [
        Section("differences", "Differences", difference_blocks(results)),
        Section("sources", "Synthetic images", source_blocks(study), "No source gave any image."),
        Section("dose", "How many synthetic images", dose_blocks(results), "No arm has a result."),
        Section("arms", "Arms", arm_blocks(results), "No arms."),
        Section("copies", "Memorisation", copy_blocks(study)),
        Section("ensembles", "Ensembles and references", ensemble_blocks(results), _UNSCORED),
        Section("trainings", "Trainings", [tables.training_table(results)], "No trainings."),
        *record_sections(record, StudyConfig),
    ]
    return Page(
        "study",
        record,
        words.headline(results),
        results.headline.removeprefix("No gain shown: "),
        tiles(results),
        words.caveats(results),
        sections,
        study.problems,
        notes,
    )


def tiles(results: Results) -> list[Tile]:
    """The few numbers worth a glance."""
    primary, names = results.primary, [endpoint.name for endpoint in results.endpoints]
    seeds = ", ".join(map(str, results.seeds[:6])) + (", …" if len(results.seeds) > 6 else "")
    runs, completed = (sum(map(count, results.arms)) for count in (lambda a: len(a.runs), on.done))
    where = "; ".join(names) if len(names) > 1 else on.set_name(primary)
    region = REGIONS.get(results.region, results.region)
    reseeded = _RESEEDED.get(results.reseed, results.reseed)
    arms = counted(len(on.compared(results)))
    found = [
        ("Decided on", where, f"{on.observer_name(primary)}, {region}"),
        ("Arms with synthetic images", arms, f"{completed:,} of {runs:,} trainings"),
        ("Seeds", counted(len(results.seeds)), f"{seeds}; they change {reseeded}"),
    ]
    limits = words.detectable(results, primary)
    if limits is not None:
        low, high = map(fixed, limits)
        note = "every arm" if low == high else f"{low} in the surest arm"
        note = f"{100 * results.power:g} % power; {note}"
        found.append(("Smallest detectable effect", high, note))
    synthetic = [one for one in results.synthetic if not one.photographs]
    drawn, kept = (sum(getattr(one, name) for one in synthetic) for name in ("drawn", "kept"))
    if drawn:
        found.append(("Samples kept", f"{100 * kept / drawn:.0f} %", f"{kept:,} of {drawn:,}"))
    return found


def difference_blocks(results: Results) -> list[Block]:
    """Forest plots: against the real-only arms everywhere, against other arms where it counts."""
    sizes = on.sizes(results)
    plots = [charts.real_forest(results, p, size) for p in on.places(results) for size in sizes]
    others = [charts.control_forest(results, p, size) for p in on.ends(results) for size in sizes]
    found = [Figures(plots) or Text("No arm could be compared with its real-only arm.")]
    controls = group("Against other arms", Figures(others))
    return [*found, *controls, Text(words.decision(results), "quiet")]


def source_blocks(study: Study) -> list[Block]:
    """What the images look like, what each source gave, and whether realism pays."""
    results = study.results
    realism = Figures(
        [
            charts.realism_chart(results, "kid", "KID"),
            charts.realism_chart(results, "distance", "distance to the nearest training image"),
        ]
    )
    return [
        *sources.sample_blocks(study),
        sources.source_table(results),
        folded(sources.filter_table(results)),
        *group("Realism and gain", realism, Text(words.REALISM, "quiet")),
    ]


def dose_blocks(results: Results) -> list[Block]:
    """Curves over the number of synthetic and of real images."""
    where, sizes, decisive = on.places(results), on.sizes(results), on.ends(results)
    dose = [
        Figures(charts.dose_charts(results, place, size))
        for place in where
        for size in (sizes if place in decisive else sizes[:1])
    ]
    if not any(dose):
        return []
    few = ""
    if len(sizes) > 1 and len(where) > len(decisive):
        few = f" Beyond the places that decide, only arms with {sizes[0]:,} real images are shown; "
        few += "the tables hold all."
    learning = Figures([charts.learning_chart(results, place) for place in where])
    return [
        Text(words.DOSE + few),
        *dose,
        Text(words.intervals(results), "quiet"),
        *group("How many real images", learning, Text(words.LEARNING, "quiet")),
    ]


def arm_blocks(results: Results) -> list[Block]:
    """Tables of the arms, place by place."""
    where = on.places(results)
    if not results.arms:
        return []
    main, controls, others = (
        by_place(table(results, place) for place in where)
        for table in (tables.arm_table, tables.control_table, tables.secondary_table)
    )
    found = [*main, *(group("Against other arms", *controls) if controls else [])]
    return [*found, *(group("Other metrics", *others) if others else [])]


def copy_blocks(study: Study) -> list[Block]:
    """How near the samples come to training images."""
    table = sources.realism_table(study.results)
    missing = Text("The samples have not been compared with the training images.")
    if not table:
        return [missing]
    return [table, *sources.copy_blocks(study)]


def ensemble_blocks(results: Results) -> list[Block]:
    return [
        tables.score_table(results, results.ensembles, "Ensembles of all seeds."),
        tables.score_table(results, results.references, "References."),
    ]
