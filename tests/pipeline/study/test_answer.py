"""The study's answer in words: what it names, counts and admits."""

from __future__ import annotations

from typing import Any

from vesselforge.pipeline.statistics.answer import answer
from vesselforge.pipeline.study.schema import Arm, Effect, Endpoint, Place, Results

PLACE = Place(set="drive", observer="first")


def effect(mean: float, verdict: str = "none shown", **other: Any) -> Effect:
    found: dict[str, Any] = {
        "place": PLACE, "level": (0.82, 0.81, 0.83), "seeds": 3, "images": 20, "mean": mean,
        "low": mean - 0.004, "high": mean + 0.004, "p_holm": 0.61, "p_primary": 0.61,
        "detectable": 0.0035, "verdict": verdict, "against": "real",
    }  # fmt: skip
    return Effect(**(found | other))


def arm(label: str, *effects: Effect, real_images: int = 16) -> Arm:
    return Arm(
        id=label, label=label, count=200, order="mixed", real_images=real_images,
        baseline="real", runs=[], effects=list(effects),
    )  # fmt: skip


REAL = Arm(
    id="real", label="real only", count=0, order=None, real_images=16,
    baseline=None, runs=[],
)  # fmt: skip


def said(*arms: Arm, metric: str = "f1", **other: Any) -> str:
    facts: dict[str, Any] = {
        "name": "s", "headline": "", "metric": metric, "region": "fov", "alpha": 0.05,
        "power": 0.8, "steps": 9, "seeds": [0, 1, 2], "reseed": "all", "places": [PLACE],
        "endpoints": [Endpoint(name="drive", place=PLACE, sets=["drive"])],
        "primary_arms": [arm.id for arm in arms], "arms": [REAL, *arms],
    }  # fmt: skip
    return answer(Results(**(facts | other)))


def test_no_gain_names_the_best_arm_and_what_would_have_been_found() -> None:
    assert said(arm("a", effect(-0.002)), arm("b", effect(0.0008)), arm("c", effect(0.0001))) == (
        "No gain shown: DRIVE (3 seeds, 20 images), against “real only”: b, +0.0008 "
        "[−0.0032, +0.0048], p = 0.61, detectable 0.0035; picked from 3 arms. F1 per image; p "
        "after Holm over 3 comparisons, detectable with 80 % power."
    )
    few = effect(-0.00001, detectable=None, images=4, seeds=2)
    found = said(arm("a", few), metric="cldice")
    assert "“real only”: a, +0.0000 [" in found and "with 4 images nothing could be fo" in found
    assert found.endswith(
        ". clDice per image; p after Holm over 1 comparison, detectable with 80 % power."
    )


def test_the_largest_gain_and_the_worst_harm_are_named() -> None:
    gains = [
        arm("a", effect(0.012, "gain", p_primary=0.0004)),
        arm("b", effect(0.011, "gain", p_primary=0.0001)),
        arm("c", effect(0.02)),
    ]
    found = said(*gains)
    assert found.startswith(
        "Gain shown: DRIVE (3 seeds, 20 images), against “real only”: a, +0.0120 "
        "[+0.0080, +0.0160], p < 0.001; picked from 3 arms."
    )
    harms = [arm(n, effect(m, "harm", p_primary=0.02)) for n, m in (("d", -0.01), ("e", -0.03))]
    found = said(*gains, *harms)
    assert "gain of a, " in found and "harm of e, −0.0300 [−0.0340, −0.0260], p = 0.02" in found
    assert said(*harms).startswith("Harm shown: DRIVE") and "picked from 2 arms" in said(*harms)


def test_other_places_do_not_decide() -> None:
    gain = effect(0.1, "gain", p_holm=0.001, place=Place(set="stare", observer="ah"))
    assert said(arm("a", gain, effect(0.001))).startswith("No gain shown")


def test_the_number_of_real_images_is_said_where_it_differs() -> None:
    few = arm("a", effect(0.012, "gain"), real_images=1)
    assert "against “real only” with 1 real image: a, +" in said(few, arm("b", effect(0.0)))


def test_what_could_not_be_tested_is_said() -> None:
    one = effect(0.004, verdict="untested", low=None, p_holm=None, p_primary=None, seeds=1)
    assert said(arm("a", one), arm("b"), seeds=[0]) == (
        "DRIVE, not tested: a, b. F1 per image; one seed cannot tell a gain from the luck of a "
        "training run."
    )
    assert "; not tested: b. F1" in said(arm("a", effect(0.1)), arm("b"))
    many = [arm(f"a{n}", one) for n in range(9)]
    assert said(*many) == "DRIVE, not tested: 9 arms. F1 per image."
    assert said() == "Nothing was compared: no arm has synthetic images."
    declared = said(arm("a"), declared=True, primary_arms=["gone"])
    assert declared == "Nothing was compared: no primary arm is in the study."
