"""From what was measured to results.json and per_image.csv: the figures that the page shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from vesselforge.configs.statistics import BEST, REFERENCE, StatisticsSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.files import write_csv, write_json
from vesselforge.pipeline.statistics.answer import answer
from vesselforge.pipeline.statistics.families import Scored, judged
from vesselforge.pipeline.study.findings import Findings, metrics_of
from vesselforge.pipeline.study.per_image import Measured, Runs, as_rows, values_of
from vesselforge.pipeline.study.schema import (
    PER_IMAGE,
    RESULTS,
    Arm,
    Effect,
    Endpoint,
    Place,
    Results,
    Secondary,
)
from vesselforge.pipeline.study.study_sources import source_warnings


def write_results(config: StudyConfig, found: Findings, folder: Path) -> Results:
    """Compare the arms, write results.json and per_image.csv into the run's folder."""
    results = results_of(config, found)
    write_json(folder / RESULTS, results.model_dump(mode="json"))
    write_csv(folder / PER_IMAGE, as_rows(found.measured, metrics_of(config.statistics)))
    return results


def results_of(config: StudyConfig, found: Findings) -> Results:
    """Every comparison that the config asks for, and what it says. Reads no file."""
    statistics = config.statistics
    endpoints = _endpoints(config, found.measured)
    named, sizes = statistics.primary_arms, statistics.primary_real_images
    deciding = [
        arm.id
        for arm in found.arms
        if arm.baseline is not None
        and (not named or arm.name in named)
        and (not sizes or arm.real_images in sizes)
    ]
    values = values_of(found.measured, statistics.metric, endpoints)
    arms = _compared(found.arms, values, statistics, endpoints, deciding)
    synthetic = sorted(found.synthetic, key=lambda one: (one.source, one.real_images, one.seed))
    results = Results(
        name=config.name,
        headline="",
        **statistics.model_dump(include={"metric", "region", "alpha", "power"}),
        steps=sum(phase.steps for phase in config.phases),
        seeds=config.arms.seeds,
        reseed=config.synthetic.reseed,
        folds=found.folds,
        declared=statistics.declared,
        endpoints=endpoints,
        primary_arms=deciding,
        places=list(values),
        arms=arms,
        secondary=_secondary(found, statistics, endpoints),
        synthetic=synthetic,
        samples=sorted(found.samples, key=lambda samples: samples.source),
        content=found.content,
        notes=[
            *found.notes,
            *source_warnings(synthetic),
            *_missing_arms(arms),
        ],
        warned=found.warned,
    )
    return results.model_copy(update={"headline": answer(results)})


def _endpoints(config: StudyConfig, measured: Measured) -> list[Endpoint]:
    """As the config says; else the dataset's own test set, by the observer that it was trained on.

    An endpoint of one set has that set's own place.
    """
    found = []
    for given in config.statistics.endpoints:
        name = given.sets[0] if len(given.sets) == 1 else given.name
        place = Place(set=name, observer=given.observer)
        found.append(Endpoint(name=given.name, place=place, sets=given.sets))
    if not found:
        own = Place(set=config.data.name, observer=REFERENCE)
        there = [place for run in measured.values() for place, _ in run]
        place = own if own in there or not there else there[0]
        found.append(Endpoint(name=place.set, place=place, sets=[place.set]))
    return found


def _compared(
    arms: Sequence[Arm],
    values: Mapping[Place, Mapping[str, Runs]],
    statistics: StatisticsSettings,
    endpoints: Sequence[Endpoint],
    deciding: Sequence[str],
) -> list[Arm]:
    """The arms with their effects at every place, against real images alone and other arms."""
    scored = [Scored(runs, place, statistics) for place, runs in values.items()]
    primary = {(arm, endpoint.place) for arm in deciding for endpoint in endpoints}
    main = _effects(scored, _baselines(arms), statistics, primary)
    controls: dict[str, list[Effect]] = {arm.id: [] for arm in arms}
    for other in dict.fromkeys(other for arm in arms for other in arm.against):
        held = {arm.id: other for arm in arms if other in arm.against}
        for id_, effects in _effects(scored, held, statistics).items():
            controls[id_] += [effect for effect in effects if effect.mean is not None]
    return [
        arm.model_copy(update={"effects": main.get(arm.id, []), "controls": controls[arm.id]})
        for arm in arms
    ]


def _baselines(arms: Iterable[Arm]) -> dict[str, str]:
    return {arm.id: arm.baseline or "" for arm in arms}


def _effects(
    scored: Iterable[Scored],
    against: Mapping[str, str],
    statistics: StatisticsSettings,
    primary: Collection[tuple[str, Place]] = (),
) -> dict[str, list[Effect]]:
    """Arm → its effects against another, place by place, corrected together."""
    comparisons = [c for place in scored for c in place.comparisons(against)]
    effects = judged(comparisons, statistics, primary)
    found: dict[str, list[Effect]] = {}
    for comparison, effect in zip(comparisons, effects, strict=True):
        found.setdefault(comparison.arm, []).append(effect)
    return found


def _secondary(
    found: Findings, statistics: StatisticsSettings, endpoints: Sequence[Endpoint]
) -> list[Secondary]:
    """Levels and differences by the other metrics: at the endpoints, and at the best threshold at
    every place, so that what calibration did there is told from what was recognised."""
    decided = {endpoint.place for endpoint in endpoints}
    lines = []
    for metric in statistics.secondary:
        values = values_of(found.measured, metric, endpoints)
        shown = [place for place in values if place in decided or metric == BEST]
        scored = [Scored(values[place], place, statistics) for place in shown]
        for arm, effects in _effects(scored, _baselines(found.arms), statistics).items():
            lines += [Secondary(metric=metric, arm=arm, **dict(effect)) for effect in effects]
    return lines


def _missing_arms(arms: Sequence[Arm]) -> list[str]:
    """One line for each arm that others could not be compared with. Arms that failed themselves are
    told of elsewhere."""
    several = len({arm.real_images for arm in arms}) > 1
    names = {
        arm.id: arm.short + (f" ({arm.real_images} real images)" if several else "") for arm in arms
    }
    lacking: dict[str, list[str]] = {}
    for arm in arms:
        met = {e.against for e in (*arm.effects, *arm.controls) if e.mean is not None}
        for other in [arm.baseline, *arm.against] if arm.effects else ():
            if other is not None and other not in met:
                lacking.setdefault(other, []).append(names[arm.id])
    return [
        f"Not compared with {names.get(other, other)}, which has no result with the same seeds: "
        f"{', '.join(held)}."
        for other, held in lacking.items()
    ]
