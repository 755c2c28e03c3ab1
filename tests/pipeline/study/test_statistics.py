"""The rules of the study's statistics, on small tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vesselforge.configs.statistics import StatisticsSettings
from vesselforge.pipeline.statistics.crossed import (
    crossed_mean,
    detectable,
    interval,
    level_noise,
    p_value,
    run_noise,
)
from vesselforge.pipeline.statistics.families import (
    Scored,
    holm,
    image_p,
    judged,
    level_interval,
    verdict,
)
from vesselforge.pipeline.study.schema import Effect, Place

PLACE = Place(set="drive", observer="first")
SETTINGS = StatisticsSettings(bootstrap=400)
ARMS = {"real": None, "a": "real", "b": "real", "c": "real"}


def drawn(seed: int = 0, gain: float = 0.0) -> dict[str, dict[int, np.ndarray]]:
    """Four arms, three seeds, 20 images; `gain` is added to arm a."""
    random = np.random.default_rng(seed)
    images = 0.82 + 0.013 * random.normal(size=20)
    values = {
        arm: {
            s: images + 0.001 * random.normal() + 0.005 * random.normal(size=20) for s in range(3)
        }
        for arm in ARMS
    }
    values["a"] = {s: row + gain for s, row in values["a"].items()}
    return values


def effects(values: dict, baselines: dict = ARMS) -> dict[str, Effect]:
    against = {arm: base or "" for arm, base in baselines.items()}
    found = Scored(values, PLACE, SETTINGS).comparisons(against)
    return {c.arm: e for c, e in zip(found, judged(found, SETTINGS), strict=True)}


def test_holm_of_a_worked_example() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 → times 4, 3, 2, 1 → 0.02, 0.03, 0.06, 0.04 → never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([]).size == 0


def test_image_p_is_scipys_wilcoxon_and_1_without_any_difference() -> None:
    random = np.random.default_rng(0)
    many = random.normal(0.4, 1, (3, 20))
    expected = [stats.wilcoxon(row).pvalue for row in many]
    assert image_p(many) == pytest.approx(expected)
    assert float(image_p(many[0])) == pytest.approx(expected[0])
    assert float(image_p(np.zeros(20))) == 1.0


def test_mean_squares_and_variance_of_a_table_by_hand() -> None:
    table = np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]])  # additive: image 2, 3, 7; seed ± 1
    found = crossed_mean(table, run=2.0, df=1)
    assert found.mean == 4.0
    assert found.by_seed == pytest.approx(1.0)  # 2 / 2 seeds
    assert found.by_image == pytest.approx(7.0 / 3)  # variance 7 of the image means, 3 images
    assert found.variance == pytest.approx(1.0 + 7.0 / 3)  # nothing is left for the residual
    assert found.df == 1.0  # 2.6 by Satterthwaite; no more than 1 with 1 of seeds
    assert p_value(found) == pytest.approx(2 * stats.t.sf(4 / np.sqrt(10 / 3), 1))


def test_degrees_of_freedom_are_satterthwaites_with_enough_of_seeds() -> None:
    found = crossed_mean(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]), run=2.0, df=12)
    assert found.df == pytest.approx((10 / 3) ** 2 / (1.0 / 12 + (7 / 3) ** 2 / 2))


def test_residual_that_both_levels_contain_counts_once() -> None:
    random = np.random.default_rng(0)
    tables = random.normal(size=(400, 3, 20))  # noise of single values only: variance 1/60
    variances = [crossed_mean(table, run=1 / 20, df=12).variance for table in tables]
    # the bound below, by either level alone, lifts the mean somewhat; their sum would be 2/60
    assert 1 / 60 <= np.mean(variances) < 1.25 / 60


def test_interval_is_about_as_wide_as_the_t_interval() -> None:
    random = np.random.default_rng(0)
    noise = level_noise([random.normal(size=15)])
    assert noise is not None
    found = crossed_mean(random.normal(size=(3, 20)), run=2 / 20, df=12)
    low, high = interval(found, noise.deviations, 3, alpha=0.05, resamples=4000, seed=0)
    half = stats.t.isf(0.025, found.df) * np.sqrt(found.variance)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert found.variance < 0.8 * (found.by_seed + found.by_image)  # counting twice would show


def test_pooled_noise_is_that_of_a_two_way_layout() -> None:
    random = np.random.default_rng(0)
    runs = random.normal(size=(5, 3)) + np.array([0.0, 5.0, -3.0])
    found = run_noise(runs)
    rest = runs - runs.mean(0) - runs.mean(1, keepdims=True) + runs.mean()
    assert found is not None and found.df == 8
    assert found.variance == pytest.approx((rest**2).sum() / 8)
    assert (found.deviations**2).mean() == pytest.approx(found.variance)


def test_pooled_noise_of_two_arms_is_half_that_of_their_difference() -> None:
    runs = np.random.default_rng(0).normal(size=(2, 3))
    found, own = run_noise(runs), level_noise([runs[1] - runs[0]])
    assert found is not None and own is not None
    assert (found.df, 2 * found.variance) == (own.df, pytest.approx(own.variance))


def test_missing_runs_leave_what_arms_share_and_nothing_is_none() -> None:
    runs = np.array([[1.0, 2.0, np.nan], [1.5, 2.6, 9.0], [0.9, np.nan, 8.1]])
    found = run_noise(runs)
    assert found is not None and found.df == 7 - 5
    assert run_noise(np.array([[1.0, np.nan], [np.nan, 2.0]])) is None
    assert run_noise(np.array([[1.0, 2.0, 3.0]])) is None


def test_a_clear_gain_is_found_and_only_that() -> None:
    found = effects(drawn(gain=0.02))
    assert [found[arm].verdict for arm in ARMS] == ["untested", "gain", "none shown", "none shown"]
    a = found["a"]
    assert (a.seeds, a.images) == (3, 20) and a.mean is not None
    assert np.mean(a.by_seed) == pytest.approx(a.mean)
    assert a.low is not None and a.high is not None and 0 < a.low < a.mean < a.high
    level = np.mean(list(drawn(gain=0.02)["a"].values()))
    assert a.level[0] == pytest.approx(level) and a.level[1] < level < a.level[2]
    assert found["real"].mean is None and found["real"].level[0] > 0


def test_p_holm_is_of_the_larger_p_over_all_arms() -> None:
    found = effects(drawn(gain=0.004))
    arms = [found[arm] for arm in "abc"]
    expected = holm([max(e.p_images or 0.0, e.p_seeds or 0.0) for e in arms])
    assert [e.p_holm for e in arms] == pytest.approx(list(expected))


def test_equal_students_are_equal() -> None:
    values = drawn()
    values["b"] = values["real"]
    b = effects(values)["b"]
    assert (b.mean, b.low, b.high) == (0.0, 0.0, 0.0)
    assert (b.p_images, b.p_seeds, b.p_holm) == (1.0, 1.0, 1.0)
    assert b.verdict == "none shown"
    alone = effects({"real": values["real"], "b": values["real"]}, {"real": None, "b": "real"})["b"]
    assert (alone.low, alone.high, alone.p_holm, alone.detectable) == (0.0, 0.0, 1.0, 0.0)


def test_the_verdict_needs_both_the_test_and_the_interval() -> None:
    assert verdict(0.01, 0.001, 0.01, 0.05) == "gain"
    assert verdict(0.01, -0.01, -0.001, 0.05) == "harm"
    assert verdict(0.01, -0.001, 0.01, 0.05) == "none shown"
    assert verdict(0.06, 0.001, 0.01, 0.05) == "none shown"
    assert verdict(None, None, None, 0.05) == "untested"


def test_order_of_arms_seeds_and_images_changes_nothing() -> None:
    values = drawn(gain=0.004)
    images = np.random.default_rng(1).permutation(20)
    moved = {arm: {s: values[arm][s][images] for s in (2, 0, 1)} for arm in reversed(list(values))}
    plain, other = effects(values), effects(moved)
    for arm in "abc":
        for name in ("mean", "low", "high", "p_images", "p_seeds", "p_holm", "detectable"):
            assert getattr(other[arm], name) == pytest.approx(getattr(plain[arm], name)), name
        assert other[arm].level == pytest.approx(plain[arm].level)


def test_a_changed_sign_mirrors_everything() -> None:
    values = drawn(gain=0.02)
    flipped = {arm: {s: -row for s, row in runs.items()} for arm, runs in values.items()}
    plain, mirror = effects(values), effects(flipped)
    for arm in "abc":
        one, two = plain[arm], mirror[arm]
        assert one.mean is not None and one.low is not None and one.high is not None
        assert (two.mean, two.low, two.high) == pytest.approx((-one.mean, -one.high, -one.low))
        assert two.p_holm == pytest.approx(one.p_holm)
    assert mirror["a"].verdict == "harm"


def test_seeds_and_images_that_an_arm_lacks_are_left_out_of_its_pair() -> None:
    values = drawn(gain=0.02)
    del values["a"][1]
    values["b"][2] = np.where(np.arange(20) < 3, np.nan, values["b"][2])
    found = effects(values)
    assert (found["a"].seeds, found["a"].images, found["a"].verdict) == (2, 20, "gain")
    assert len(found["a"].by_seed) == 2
    assert (found["b"].seeds, found["b"].images) == (3, 17)
    expected = np.mean([values["b"][s][3:] - values["real"][s][3:] for s in range(3)])
    assert found["b"].mean == pytest.approx(expected)
    assert found["c"] == effects({**drawn(gain=0.02), "a": values["a"], "b": values["b"]})["c"]


def test_an_image_that_one_run_lacks_does_not_pass_for_noise_of_training() -> None:
    values = drawn()
    values["c"][0] = values["c"][0].copy()
    values["c"][0][0] = values["real"][0][0] = np.nan
    hard = {arm: {s: r - 5.0 * (np.arange(20) == 0) for s, r in runs.items()}
            for arm, runs in values.items()}  # fmt: skip
    sd = effects(hard)["a"].sd_seeds
    assert sd is not None and sd < 0.01


def test_one_seed_is_described_but_not_tested() -> None:
    found = effects({arm: {7: runs[0]} for arm, runs in drawn(gain=0.02).items()})["a"]
    assert found.verdict == "untested" and found.seeds == 1
    assert found.mean == pytest.approx(0.02, abs=0.01) and found.p_images is not None
    assert (found.low, found.p_seeds, found.p_holm, found.detectable) == (None,) * 4


def test_one_image_or_no_shared_seed_is_not_tested() -> None:
    one = {arm: {s: row[:1] for s, row in runs.items()} for arm, runs in drawn().items()}
    found = effects(one)["a"]
    assert (found.verdict, found.images, found.p_images) == ("untested", 1, None)
    values = drawn()
    values["a"] = {s + 10: row for s, row in values["a"].items()}
    found = effects(values)["a"]
    assert (found.verdict, found.seeds, found.mean, found.by_seed) == ("untested", 0, None, [])


def test_arms_without_results_are_absent_and_not_counted() -> None:
    values = drawn(gain=0.02)
    values["b"] = {0: np.full(20, np.nan)}
    found = effects({**values, "c": {}})
    assert set(found) == {"real", "a"}
    a = found["a"]
    assert a.p_holm == pytest.approx(max(a.p_images or 0, a.p_seeds or 0))


def test_untested_arms_do_not_count_for_holm() -> None:
    values = drawn(gain=0.004)
    values["b"] = {0: values["b"][0]}
    found = effects(values)
    arms = [found["a"], found["c"]]
    expected = holm([max(e.p_images or 0, e.p_seeds or 0) for e in arms])
    assert [e.p_holm for e in arms] == pytest.approx(list(expected))


def test_families_share_holms_correction_but_not_their_noise() -> None:
    quiet = drawn(1)
    wild = {f"w-{arm}": {s: row + 0.05 * s * (arm == "a") for s, row in runs.items()}
            for arm, runs in drawn(2).items()}  # fmt: skip
    baselines = ARMS | {f"w-{arm}": base and f"w-{base}" for arm, base in ARMS.items()}
    both, alone = effects({**quiet, **wild}, baselines), effects(quiet)
    assert both["b"].sd_seeds == pytest.approx(alone["b"].sd_seeds)
    assert (both["w-b"].sd_seeds or 0) > 3 * (both["b"].sd_seeds or 0)
    assert (both["b"].p_holm or 0) >= (alone["b"].p_holm or 0)
    assert (both["b"].detectable or 0) > (alone["b"].detectable or 0)


def test_so_few_images_that_no_change_can_be_found_say_so() -> None:
    few = {arm: {s: row[:5] for s, row in runs.items()} for arm, runs in drawn(gain=0.1).items()}
    assert effects(few)["a"].detectable is None  # Wilcoxon's smallest p is 2/2⁵ = 0.0625
    assert effects(few)["a"].verdict == "none shown"
    assert effects(drawn())["a"].detectable is not None


@pytest.mark.parametrize(("df", "level"), [(1, 0.05 / 12), (3, 0.01), (30, 0.05)])
def test_detectable_has_the_power_by_the_noncentral_t(df: float, level: float) -> None:
    shift = detectable(4.0, df, level, 0.8) / 2
    assert stats.nct.sf(stats.t.isf(level / 2, df), df, shift) == pytest.approx(0.8, abs=1e-4)


def test_detectable_of_many_degrees_of_freedom_is_the_textbook_sum() -> None:
    assert detectable(1.0, 1e6, 0.05, 0.8) == pytest.approx(1.95996 + 0.84162, abs=1e-3)


def test_level_of_one_run_is_over_images_of_one_image_over_seeds() -> None:
    images = 0.8 + 0.02 * np.random.default_rng(0).normal(size=(1, 20))
    mean, low, high = level_interval(images, SETTINGS, None)
    half = stats.t.isf(0.025, 19) * images.std(ddof=1) / np.sqrt(20)
    assert mean == pytest.approx(images.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert level_interval(images.T, SETTINGS, None) == pytest.approx((mean, low, high))
    assert level_interval(images[:, :1], SETTINGS, None) == (images[0, 0],) * 3


def test_an_arm_whose_partner_has_no_result_has_its_level_alone() -> None:
    found = effects(drawn(), {**ARMS, "a": "nobody"})
    a = found["a"]
    assert (a.against, a.seeds, a.images, a.mean, a.verdict) == ("nobody", 0, 0, None, "untested")
    assert a.level == pytest.approx(effects(drawn())["a"].level)
    rest = {arm: base for arm, base in ARMS.items() if arm != "a"}
    alone = effects(drawn(), rest)
    assert found["b"].p_holm == alone["b"].p_holm  # of two arms, not three
    assert found["b"].detectable == alone["b"].detectable
