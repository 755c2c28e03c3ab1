"""From measured values to results: controls, endpoints, other metrics, and what could not be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_findings import CHASE, ELSEWHERE, OWN, STARE, findings_of, study_of

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.statistics.families import holm
from vesselforge.pipeline.study.per_image import values_of
from vesselforge.pipeline.study.schema import Arm, Effect, Results
from vesselforge.pipeline.study.study_results import results_of

Build = Callable[..., StudyConfig]
SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def results(tiny_study: Build) -> Results:
    config = study_of(tiny_study, SEEDS)
    return results_of(config, findings_of(config))


def arm(results: Results, name: str, real: int = 4) -> Arm:
    return next(a for a in results.arms if (a.name, a.real_images) == (name, real))


def worst(effect: Effect) -> float:
    return max(effect.p_images or 0.0, effect.p_seeds or 0.0)


def at(effects: list[Effect], place: object, against: str = "") -> Effect:
    (found,) = [e for e in effects if e.place == place and against in ("", e.against)]
    return found


def test_each_arm_is_compared_with_its_baseline_and_its_controls(results: Results) -> None:
    one, two = "4-real-R1", "4-real-only-two-phases-strong"
    expected = {
        "R0": (None, []),
        "R1": (None, []),
        "R1-long": (None, [one]),
        "R2": (one, []),
        "P": (one, ["4-real-R0"]),
        "P-first": (two, [one]),
        "G": (one, ["4-real-P", "4-real-R2"]),
    }
    for name, (baseline, others) in expected.items():
        found = arm(results, name)
        assert (found.baseline, found.against) == (baseline, others)
        assert {e.against for e in found.effects} == {baseline or ""}
        assert {e.against for e in found.controls} == set(others)
        assert len(found.controls) == len(results.places) * len(others)
    assert arm(results, "R1-long").longer == 2 and arm(results, "P").labels == "own"


def test_a_control_is_a_paired_difference_corrected_by_itself(
    results: Results, tiny_study: Build
) -> None:
    values = values_of(findings_of(study_of(tiny_study, SEEDS)).measured, "f1", [])
    for place in (OWN, CHASE):
        runs = values[place]
        effect = at(arm(results, "G").controls, place, "4-real-P")
        pairs = [np.subtract(runs["4-real-G"][s], runs["4-real-P"][s]) for s in SEEDS]
        assert effect.mean == pytest.approx(np.mean(pairs))
        assert effect.p_holm == pytest.approx(worst(effect))  # alone against P
        against = [
            at(a.controls, place, "4-real-R1") for a in results.arms if "4-real-R1" in a.against
        ]
        assert len(against) == 2  # R1-long, P-first; the others have R1 as their baseline
        assert [e.p_holm for e in against] == pytest.approx(list(holm([worst(e) for e in against])))
        assert all(e.p_primary is None for e in against)


def test_further_controls_change_nothing_else(results: Results, tiny_study: Build) -> None:
    config = study_of(tiny_study, SEEDS)
    named = {n: a.model_copy(update={"against": []}) for n, a in config.arms.named.items()}
    arms = config.arms.model_copy(update={"named": named, "controls": []})
    bare = config.model_copy(update={"arms": arms})
    plain = results_of(bare, findings_of(bare))
    assert [a.effects for a in plain.arms] == [a.effects for a in results.arms]
    assert not any(a.controls for a in plain.arms)


def test_an_endpoint_of_several_sets_has_all_their_images(
    results: Results, tiny_study: Build
) -> None:
    assert [(e.name, e.place) for e in results.endpoints] == [
        ("other cameras", ELSEWHERE),
        ("DRIVE", OWN),
    ]
    assert results.places[:2] == [ELSEWHERE, OWN] and results.primary == ELSEWHERE
    p = arm(results, "P")
    both, chase, stare = (at(p.effects, place) for place in (ELSEWHERE, CHASE, STARE))
    assert both.images == chase.images + stare.images == 11
    assert both.mean is not None and chase.mean is not None and stare.mean is not None
    assert both.mean == pytest.approx((6 * chase.mean + 5 * stare.mean) / 11)
    config = study_of(tiny_study, SEEDS)
    runs = [
        values_of(findings_of(config).measured, "f1", results.endpoints)[p]["4-real-P"][0]
        for p in (ELSEWHERE, CHASE, STARE)
    ]
    assert runs[0] == runs[1] + runs[2] and list(map(len, runs)) == [11, 6, 5]


def test_the_primary_family_is_arms_by_endpoints(results: Results) -> None:
    assert results.primary_arms == ["4-real-P", "4-real-G"]
    family = [at(arm(results, n).effects, place) for place in (ELSEWHERE, OWN) for n in "PG"]
    assert [e.p_primary for e in family] == pytest.approx(list(holm([worst(e) for e in family])))
    others = [e for a in results.arms for e in a.effects if e not in family]
    assert all(e.p_primary is None for e in others)
    for place in (ELSEWHERE, OWN):  # within the place, over all arms of all numbers of real images
        effects = [at(a.effects, place) for a in results.arms if a.baseline]
        expected = holm([worst(e) for e in effects])
        assert [e.p_holm for e in effects] == pytest.approx(list(expected))


def test_what_decides_is_judged_by_its_own_family(results: Results) -> None:
    p = at(arm(results, "P").effects, ELSEWHERE)
    assert p.verdict == "gain" and p.p == p.p_primary != p.p_holm
    # Wilcoxon's smallest p of 8 images is 1/128: below 0.05/4 of those that decide on two
    # endpoints, above 0.05/7 of all at this place.
    four, sixteen = (at(arm(results, "G", n).effects, OWN) for n in (4, 16))
    assert four.detectable is not None and sixteen.detectable is None


def test_by_default_the_own_test_decides_as_one_family(tiny_study: Build) -> None:
    plain = {"endpoints": [], "primary_arms": [], "primary_real_images": []}
    config = study_of(tiny_study, SEEDS, statistics=plain)
    found = results_of(config, findings_of(config))
    assert [e.place for e in found.endpoints] == [OWN] and not found.declared
    effects = [at(a.effects, OWN) for a in found.arms if a.baseline]
    assert [e.p_primary for e in effects] == [e.p_holm for e in effects]
    assert found.headline.startswith("No gain shown: DRIVE (3 seeds, 8 images), against “real only")
    assert ": P-first, +0.0" in found.headline  # the largest


def test_the_headline_has_a_sentence_for_each_endpoint(results: Results) -> None:
    first, second, last = results.headline.split(". ")
    assert first.startswith(
        "other cameras (3 seeds, 11 images), against “R1: real only (strong augmentation)” with "
        "4 real images: gain of P, +0."
    )
    assert second.startswith("DRIVE (3 seeds, 8 images), against")
    for sentence in (first, second):
        assert "none shown of G, " in sentence and ", detectable 0." in sentence
        assert "R2" not in sentence and "P-first" not in sentence
    assert last == "F1 per image; p after Holm over 4 comparisons, detectable with 80 % power."


def test_other_metrics_are_there_at_the_endpoints_and_the_best_threshold_everywhere(
    results: Results, tiny_study: Build
) -> None:
    places = {
        m: {s.place for s in results.secondary if s.metric == m} for m in ("cldice", "f1_best")
    }
    assert places == {"cldice": {ELSEWHERE, OWN}, "f1_best": set(results.places)}
    values = values_of(findings_of(study_of(tiny_study, SEEDS)).measured, "cldice", [])[OWN]
    (p,) = [
        s for s in results.secondary if (s.metric, s.arm, s.place) == ("cldice", "4-real-P", OWN)
    ]
    runs = values
    assert p.level[0] == pytest.approx(np.mean([runs["4-real-P"][s] for s in SEEDS]))
    pairs = [np.subtract(runs["4-real-P"][s], runs["4-real-R1"][s]) for s in SEEDS]
    assert p.mean == pytest.approx(np.mean(pairs)) and p.against == "4-real-R1"
    assert {s.arm for s in results.secondary} == {a.id for a in results.arms}


def test_failed_arms_and_missing_controls_are_explained(tiny_study: Build) -> None:
    config = study_of(tiny_study, SEEDS)
    found = results_of(config, findings_of(config, {"R2": SEEDS, "P": [0, 1]}))

    g = arm(found, "G")
    assert {e.against for e in g.controls} == {"4-real-P"}
    assert {e.seeds for e in g.controls} == {1} and g.controls[0].verdict == "untested"
    assert arm(found, "R2").effects == []
    assert found.notes == [
        "Not compared with R2 (4 real images), which has no result with the same seeds: G (4 real "
        "images).",
        "Not compared with 16-real-R2, which has no result with the same seeds: G (16 real "
        "images).",
    ]
    assert "; not tested: P." in found.headline
    apart = results_of(config, findings_of(config, {"P": [0, 1], "G": [2]}))
    assert (
        "Not compared with P (4 real images), which has no result with the same seeds: G (4 real "
        "images)."
    ) in apart.notes


def test_an_endpoint_without_one_of_its_sets_is_not_tested(tiny_study: Build) -> None:
    sets = [{"name": "both", "sets": ["drive", "stare"], "observer": "2nd"}]
    config = study_of(tiny_study, SEEDS, statistics={"endpoints": sets})
    found = results_of(config, findings_of(config))
    assert "both" not in {place.set for place in found.places}
    assert found.headline.startswith("both, not tested: P, G.")
