"""The page of a study: what synthetic images did to the metric, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.models.score_rows import REGIONS
from vesselforge.pipeline.study.schema import RESULTS, Place, Results, read_results
from vesselforge.pipeline.study.study_sources import source_warnings
from vesselforge.report.formatting import counted, fixed
from vesselforge.report.page import (
    Block,
    Figures,
    Note,
    Page,
    Section,
    Table,
    Text,
    Tile,
    folded,
    group,
)
from vesselforge.report.record_sections import WARNINGS, record_sections
from vesselforge.report.study import arm_names as on
from vesselforge.report.study import arm_tables as tables
from vesselforge.report.study import source_tables as sources
from vesselforge.report.study import study_charts as charts
from vesselforge.report.study import words
from vesselforge.report.study.source_tables import Study

_UNCOMPARED = "The samples have not been compared with the training images."
_RESEEDED = {"students": "students only", "samples": "samples and students", "all": "everything"}


def study_page(folder: Path, record: dict[str, Any]) -> Page:
    """Scores and pictures first, settings last; of results.json, samples-*.png and nearest-*.png in
    the run folder."""
    study = Study(folder, read_results(folder / RESULTS))
    results = study.results
    notes = [
        Note(WARNINGS, results.warned),
        Note("Read no score of these sources without this", source_warnings(results.synthetic)),
        Note(*words.failures(results)),
    ]
    given = [*sources.sample_blocks(study), sources.source_table(results)]
    copies = [sources.memory_table(results), *sources.nearest_blocks(study)]
    sections = [
        Section("differences", "Differences", difference_blocks(results)),
        Section("sources", "Synthetic images", given, "No source gave any image."),
        Section("dose", "How many synthetic images", dose_blocks(results), "No arm has a result."),
        Section("arms", "Arms", arm_blocks(results), "No arms."),
        Section("copies", "Memorisation", copies, _UNCOMPARED),
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
    region, reseeded = REGIONS[results.region], _RESEEDED[results.reseed]
    region += f", out of fold ({len(results.folds)} folds)" if results.folds else ""
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
    return found


def difference_blocks(results: Results) -> list[Block]:
    """Forest plots: against the real-only arms and against other arms, place by place."""
    sizes = on.sizes(results)
    plots = [charts.differences(results, place, n) for place in on.places(results) for n in sizes]
    found = Figures(plots) or Text("No arm could be compared with its real-only arm.")
    return [found, Text(words.decision(results), "quiet")]


def dose_blocks(results: Results) -> list[Block]:
    """Curves over the number of synthetic and of real images."""
    where, sizes = on.places(results), on.sizes(results)
    dose = Figures([charts.dose_chart(results, place, size) for place in where for size in sizes])
    learning = Figures([charts.learning_chart(results, place) for place in where])
    about: list[Block] = [Text(words.DOSE), dose, Text(words.intervals(results), "quiet")]
    return [
        *(about if dose else []),
        *group("How many real images", learning, Text(words.LEARNING, "quiet")),
    ]


def arm_blocks(results: Results) -> list[Block]:
    """Tables of the arms: of the first place open, of each further one in a fold."""

    def shown(table: Callable[[Results, Place], Table]) -> list[Block]:
        found = [made for place in on.places(results) if (made := table(results, place))]
        return [*found[:1], *map(folded, found[1:])]

    return [*shown(tables.arm_table), *group("Other metrics", *shown(tables.secondary_table))]
