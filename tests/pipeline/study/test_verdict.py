"""The generated sentences: what they name, count and admit."""

from __future__ import annotations

from typing import Any

import pytest

from vesselforge.configs.study import Augmented, Order
from vesselforge.pipeline.statistics.verdict import headline
from vesselforge.pipeline.study.schema import Arm, Effect, Place

PLACE = Place(set="drive", observer="first")
ELSEWHERE = Place(set="stare", observer="ah")


def effect(mean: float, verdict: str = "none shown", **other: Any) -> Effect:
    found: dict[str, Any] = {
        "place": PLACE, "level": (0.82, 0.81, 0.83), "seeds": 3, "images": 20, "mean": mean,
        "low": mean - 0.004, "high": mean + 0.004, "p_holm": 0.61, "detectable": 0.0035,
        "verdict": verdict,
    }  # fmt: skip
    return Effect(**(found | other))


def arm(
    *effects: Effect,
    count: int = 200,
    order: Order | None = "synthetic-first",
    augment: Augmented = "both",
    real_images: int = 16,
) -> Arm:
    name = f"{real_images}-{count}-{order}-{augment}"
    base = None if order is None else f"{real_images}-real"
    return Arm(
        id=name, label=name, count=count, order=order, augment=augment, real_images=real_images,
        baseline=base, runs=[], effects=list(effects),
    )  # fmt: skip


REAL = arm(count=0, order=None)


def said(*arms: Arm, metric: str = "f1") -> str:
    return headline([REAL, *arms], PLACE, metric, power=0.8)


def test_no_gain_names_the_best_arm_and_what_would_have_been_found() -> None:
    best = arm(effect(0.0008))
    assert said(arm(effect(-0.002), count=50), best, arm(effect(0.0001), order="mixed")) == (
        "No gain shown: 200 synthetic images before the real ones changed F1 on DRIVE by "
        "+0.0008 [−0.0032, +0.0048] (best of 3 arms, 3 seeds, 20 images; p = 0.61 after Holm "
        "over all 3); a change of 0.0035 would have been found with 80 % power."
    )


def test_one_arm_needs_no_holm_and_so_few_images_show_nothing() -> None:
    few = effect(-0.00001, detectable=None, images=4, seeds=2)
    assert said(arm(few, order="real-first", count=1), metric="cldice") == (
        "No gain shown: 1 synthetic image after the real ones changed clDice on DRIVE by "
        "+0.0000 [−0.0040, +0.0040] (2 seeds, 4 images; p = 0.61); with 4 images no change "
        "could have been found."
    )


def test_a_gain_is_named_by_the_largest_significant_mean() -> None:
    found = said(
        arm(effect(0.012, "gain", p_holm=0.0004), order="mixed"),
        arm(effect(0.011, "gain", p_holm=0.0001)),
        arm(effect(0.02), count=500),
    )
    assert found == (
        "200 synthetic images mixed with the real ones raised F1 on DRIVE by +0.0120 "
        "[+0.0080, +0.0160] (largest of 2 gains among 3 arms, 3 seeds, 20 images; "
        "p < 0.001 after Holm over all 3)."
    )


def test_harm_is_said_with_and_without_a_gain() -> None:
    bad, worse = effect(-0.01, "harm", p_holm=0.02), effect(-0.03, "harm", p_holm=0.01)
    alone = said(arm(bad), arm(worse, count=1000))
    assert alone == (
        "Synthetic images did harm: 1000 synthetic images before the real ones changed F1 on "
        "DRIVE by −0.0300 [−0.0340, −0.0260] (worst of 2 that did harm among 2 arms, 3 seeds, "
        "20 images; p = 0.01 after Holm over all 2). No arm gained."
    )
    both = said(arm(bad), arm(effect(0.012, "gain", p_holm=0.003), count=50))
    assert both.startswith("50 synthetic images before the real ones raised F1")
    assert "the only gain among 2 arms" in both
    assert "But other synthetic images did harm: 200 synthetic images" in both
    assert "No arm gained" not in both and "No gain shown" not in both


def test_a_learning_curve_names_the_number_of_real_images() -> None:
    few = arm(effect(0.012, "gain", p_holm=0.003), real_images=5)
    found = said(few, arm(effect(0.0)))
    assert found.startswith("200 synthetic images before 5 real images raised F1")
    one = arm(effect(0.5), real_images=1, augment="real")
    assert "before 1 real image (only real images augmented) changed" in said(one, arm(effect(0)))


def test_other_places_do_not_decide() -> None:
    gain = effect(0.1, "gain", p_holm=0.001, place=ELSEWHERE)
    assert said(arm(gain, effect(0.001))).startswith("No gain shown")


def test_what_could_not_be_tested_is_said() -> None:
    single = {"verdict": "untested", "low": None, "high": None, "p_holm": None}
    one = arm(effect(0.001, **(single | {"seeds": 1})))
    two = arm(effect(0.004, **(single | {"seeds": 1})), count=50)
    assert said(one, two) == (
        "Not tested: one seed cannot tell a gain from the luck of a training run. 50 synthetic "
        "images before the real ones changed F1 on DRIVE by +0.0040 in these runs (best of 2 "
        "arms, 1 seed, 20 images)."
    )
    image = arm(effect(0.001, **(single | {"images": 1})))
    assert said(image).startswith("Not tested: one test image cannot stand for others.")
    assert said(one, arm(effect(0.0), count=50)).endswith("1 of 2 arms could not be tested.")


UNPAIRED = Effect(place=PLACE, level=(0.8, 0.7, 0.9), seeds=0, images=0)


@pytest.mark.parametrize("effects", [[], [UNPAIRED]])
def test_failed_arms_are_said(effects: list[Effect]) -> None:
    assert said(arm(*effects)) == (
        "Nothing could be tested: no arm has F1 on DRIVE for a seed and an image that its "
        "real-only arm has too."
    )


def test_a_study_of_real_images_compares_nothing() -> None:
    assert said() == "Nothing was compared: no arm has synthetic images."
