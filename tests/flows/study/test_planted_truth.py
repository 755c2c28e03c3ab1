"""Studies whose answer is known: real trainings, but synthetic images with a planted truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted as truth
import pytest
from batch_parts import OFF

from vesselforge.configs.choices import NETWORKS, Choice
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.study.schema import RESULTS, Effect, Results

pytestmark = pytest.mark.slow

THIN = Choice(
    "a quarter of the arithmetic",
    "segmenter.networks.sa_unet:SAUNet",
    {"variant": "backbone", "width": 8},
)
FIT = {"steps": 50, "batch": 4, "crop": 64, "validate_every": 50, "keep": "last"}
FIT |= {"network": "thin", "drop": 0.0, "lr": 0.01, "ema": 0.97, "warmup": 5}
FIT |= {"augment": OFF.model_dump()}
"""Enough to learn the vessels of phantoms, in a second: F1 is 0.65 of real images alone."""


@pytest.fixture
def question(
    tiny_study: Callable[..., StudyConfig], monkeypatch: pytest.MonkeyPatch
) -> StudyConfig:
    """One real image, never augmented, so that it is soon known by heart; 48 synthetic ones."""
    monkeypatch.setitem(NETWORKS, "thin", THIN)
    phantom = {"train": 1, "validation": 2, "test": 10, "size": truth.SIZE, "seed": 10}
    return tiny_study(
        data={"name": "phantom", "phantom": phantom},
        arms={
            "counts": [48],
            "orders": ["mixed"],
            "seeds": [0, 1, 2, 3],
        },
        synthetic={"pool": 48, "share": 0.75},
        student=FIT,
        pretrain={"steps": FIT["steps"]},
        finetune={"steps": 6, "validate_every": 6},
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the real-only arms are trained once."""
    return tmp_path_factory.mktemp("planted")


def results_of(config: StudyConfig, workspace: Path) -> Results:
    from vesselforge.flows.compare import compare_ratios

    made = compare_ratios(config, workspace=str(workspace))
    assert made["failed"] == []
    results = Results.model_validate_json((Path(made["run"]) / RESULTS).read_text())
    assert results.headline == made["headline"]
    return results


def answer(config: StudyConfig, workspace: Path) -> Effect:
    results = results_of(config, workspace)
    (arm,) = [arm for arm in results.arms if arm.baseline]
    (effect,) = arm.effects
    return effect


def test_perfect_synthetic_images_are_a_significant_gain(
    here: Any, planted: Callable[[str], None], question: StudyConfig, workspace: Path
) -> None:
    planted("exact")

    effect = answer(question, workspace)

    assert effect.verdict == "gain", effect.model_dump()
    assert effect.mean is not None and effect.mean > 0.02  # 0.11 over these seeds, none below 0.06


def test_shuffled_synthetic_labels_are_a_significant_harm(
    here: Any, planted: Callable[[str], None], question: StudyConfig, workspace: Path
) -> None:
    planted("shuffled")

    effect = answer(question, workspace)

    assert effect.verdict == "harm", effect.model_dump()
    assert effect.mean is not None and effect.mean < -0.1  # -0.30 over these seeds


def test_two_identical_arms_show_no_difference() -> None:
    """Trained alike on the same images, an arm and its baseline are the same numbers."""
    from vesselforge.configs.statistics import StatisticsSettings
    from vesselforge.pipeline.statistics.families import Scored, judged
    from vesselforge.pipeline.study.schema import Place

    settings = StatisticsSettings(bootstrap=300)
    runs = {seed: [0.7 + 0.01 * i + 0.003 * seed for i in range(12)] for seed in range(3)}
    place = Place(set="phantom", observer="1st")

    (found,) = judged(
        Scored({"a": runs, "b": runs}, place, settings).comparisons({"b": "a"}), settings
    )

    assert found.verdict == "none shown"
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_exact_phantoms_gain_at_few_images_and_turned_masks_do_not(
    here: Any, question: StudyConfig, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sources themselves, nothing planted: the same phantoms with their masks, and with these
    turned by 180°, which a rotation-blind loss could not tell from right ones."""
    # One real image cannot be scored against, and here nobody does.
    monkeypatch.setattr("vesselforge.pipeline.setting_checks.FEWEST", 1)
    phantom = {"kind": "phantom", "appearance": "generic", "size": truth.SIZE, "seed": 77}
    named = {
        "exact": {"source": "exact", "count": 48},
        "turned": {"source": "turned", "count": 48},
    }
    values = question.model_dump(mode="json")
    values["sources"] = {"exact": phantom, "turned": phantom | {"turned_masks": True}}
    values["arms"] |= {"named": named, "seeds": [0, 1]}
    values["score"] |= {"features": "random"}  # nobody needs a teacher

    made = results_of(StudyConfig.model_validate(values), workspace)

    exact, turned = (
        effect for arm in made.arms for effect in arm.effects if arm.baseline and arm.name in named
    )
    # The arms share one estimate of their noise, and turned masks make trainings noisy: over seeds
    # nothing is certain of either; over images, these very trainings have gained.
    assert exact.mean is not None and exact.mean > 0.03, exact
    assert exact.p_images is not None and exact.p_images < 0.05, exact
    assert turned.verdict != "gain" and turned.mean is not None, turned
    assert turned.mean < exact.mean - 0.1, turned
    assert "generator.train" not in {kind for kind, _ in here}
