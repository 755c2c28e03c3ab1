"""The shipped recipes: the papers' numbers in steps, and that each one trains as it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segmenter_helpers import artifact, phantom_set

from vesselforge.configs.choices import NETWORKS
from vesselforge.configs.load import SHIPPED, load, override
from vesselforge.configs.settings import FitSettings, PipelineConfig
from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.works import fit_settings
from vesselforge.segmenter.training.batch_sources import Batches
from vesselforge.segmenter.training.fit import train
from vesselforge.segmenter.training.learning_rate import Plateau, learning_rate
from vesselforge.segmenter.training.state import WEIGHT_DECAY

pytestmark = pytest.mark.slow

PUBLISHED = ("sa-unet", "sa-unet-v2", "sa2-net", "unet-v2")
STEPS = 3
MINIATURE = [f"steps={STEPS}", "batch=2", "crop=96", "pad=null", f"validate_every={STEPS}",
             "pretrained=none", "device=cpu"]  # fmt: skip


def recipe(name: str) -> FitSettings:
    return fit_settings(load(PipelineConfig, name).teacher)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_set(tmp_path_factory.mktemp("set"), {"train": 2, "validation": 1}, 96)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_miniature_trains(
    name: str, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "unet-v2":
        pytest.importorskip("transformers")
    thin = replace(NETWORKS["sa2-net"], options={"width": 8})  # 19 million parameters are slow
    monkeypatch.setitem(NETWORKS, "sa2-net", thin)
    small = override(recipe(name), MINIATURE)
    train(small, {"images": artifact(images)}, tmp_path, Progress())
    model = json.loads((tmp_path / "model.json").read_text())
    assert [member["network"] for member in model["members"]] == [small.network] == [name]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["steps"] == STEPS
    assert 0 < metrics["threshold"] < 1
    judged = [row for row in read_log(tmp_path) if "validation" in row]
    assert [row["step"] for row in judged] == [STEPS]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_is_short_and_says_how_to_call_it_and_what_it_costs(name: str) -> None:
    path = SHIPPED / "segmenters" / f"{name}.yaml"
    text = path.read_text()
    assert len(text.splitlines()) <= 30
    assert f"vesselforge segmenter train {path.stem}\n" in text
    assert "Costs " in text


def test_sa_unet_is_150_epochs_of_the_pool_with_the_last_50_at_a_tenth() -> None:
    """P1: batch 8, BCE, Adam, 1e-3 for 100 epochs and 1e-4 for 50, drop 0.18; the last is kept."""
    settings = recipe("sa-unet")
    epoch = epoch_of_drive(settings)
    assert (epoch, settings.steps) == (26, 150 * 26)
    rates = [learning_rate(settings, step) for step in (0, 100 * 26 - 1, 100 * 26, 150 * 26 - 1)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert (settings.loss, settings.optimizer, settings.keep) == ("bce", "adam", "last")
    assert (settings.drop, settings.pad_position) == (0.18, "centre")


def test_sa_unet_v2_halves_after_10_epochs_and_stops_after_20() -> None:
    """R2 for DRIVE: at most 150 epochs, drop 0.15, BCE + MCC, the image in the corner."""
    settings = recipe("sa-unet-v2")
    epoch = epoch_of_drive(settings)
    assert (epoch, settings.steps, settings.validate_every) == (26, 150 * 26, 26)
    still = Plateau()
    seen = []
    for _ in range(21):  # the first is the lowest
        still.see(1.0, settings)
        seen.append((learning_rate(settings, 500, still.factor), still.over))
    assert [rate for rate, _ in seen[:10]] == [1e-3] * 10
    assert seen[10] == (5e-4, False)
    assert [over for _, over in seen] == [False] * 20 + [True]
    assert learning_rate(settings, 500, 1e-9) == settings.min_lr == 1e-6
    assert (settings.loss, settings.drop, settings.pad_position) == ("bce-mcc", 0.15, "corner")


def test_sa2_net_restarts_between_its_two_rates() -> None:
    settings = recipe("sa2-net")
    rates = [learning_rate(settings, step) for step in range(settings.period * 2)]
    assert rates[0] == rates[settings.period] == max(rates) == pytest.approx(1e-3)
    assert 1e-4 < min(rates) < 1.01e-4
    assert (settings.crop, settings.batch, settings.head_weights) == (224, 4, [1.0] * 4)
    assert settings.loss == "balanced-bce-dice"


def test_unet_v2_sees_256_352_and_448_pixels_at_a_constant_rate() -> None:
    settings = recipe("unet-v2")
    small = settings.model_copy(update={"batch": 1})
    source = Batches(small, 32, [plain(400, 400)])
    assert [source.batch_at(step).image.shape[-1] for step in range(3)] == [256, 352, 448]
    assert learning_rate(settings, 0) == learning_rate(settings, settings.steps - 1) == 1e-4
    assert (settings.optimizer, WEIGHT_DECAY, settings.clip_value) == ("adamw", 1e-4, 0.5)
    assert (settings.loss, settings.head_weights) == ("structure", [1.0, 1.0])


def epoch_of_drive(settings: FitSettings) -> int:
    """Steps in which the pool of DRIVE's 16 training images is seen once."""
    (source,) = Batches(settings, 8, [plain(584, 565)] * 16).sources
    assert source.size == (592, 592)
    return source.steps_per_epoch


def plain(height: int, width: int) -> LoadedImage:
    field = np.ones((height, width), bool)
    black = np.zeros((height, width, 3), np.uint8)
    return LoadedImage("plain", black, field.astype(np.uint8) * 255, field, {})
