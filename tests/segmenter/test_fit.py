"""The training loop: it learns, it resumes bit for bit, it stops when asked or when it must."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from segmenter_helpers import PLAIN, TINY, StopAfter, artifact, hashes, phantom_set, trained

from vesselforge.configs.errors import CheckpointError, DataError, TrainingError
from vesselforge.configs.settings import FitSettings
from vesselforge.data.imageset import load_image, read_index
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.training.batch_sources import Batches
from vesselforge.segmenter.training.fit import train
from vesselforge.segmenter.training.learning_rate import Plateau, learning_rate
from vesselforge.segmenter.training.sizes import Sizes
from vesselforge.segmenter.training.validation import validate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_set(tmp_path_factory.mktemp("set"), {"train": 3, "validation": 1})


def test_three_steps_and_three_more_equal_six(tmp_path: Path, images: Path) -> None:
    whole = trained(tmp_path / "whole", images)
    parts = tmp_path / "parts"
    parts.mkdir()
    with pytest.raises(Interrupted):
        train(TINY, {"images": artifact(images)}, parts, StopAfter(3))
    assert not (parts / "model.json").exists()
    train(TINY, {"images": artifact(images)}, parts, Progress())
    assert hashes(whole) == hashes(parts)
    assert {"model.json", "model.safetensors", "log.jsonl", "metrics.json"} == set(hashes(whole))
    assert json.loads((whole / "model.json").read_text())["parameters"] == 538_707


def test_kill_9_and_the_same_command_give_the_same_files(tmp_path: Path, images: Path) -> None:
    settings = TINY.model_copy(update={"steps": 40, "validate_every": 10, "checkpoint_every": 5})
    script = textwrap.dedent(
        """
        import sys; from pathlib import Path
        from vesselforge.configs.settings import FitSettings
        from vesselforge.engine.progress import Progress
        from vesselforge.engine.artifacts import Artifact
        from vesselforge.segmenter.training.fit import train
        images = Artifact(Path(sys.argv[2]), {"kind": "t", "digest": "0", "metrics": {}})
        train(FitSettings.model_validate_json(sys.argv[1]), {"images": images},
              Path(sys.argv[3]), Progress())
        """
    )

    def command(out: Path) -> list[str]:
        return [sys.executable, "-c", script, settings.model_dump_json(), str(images), str(out)]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(whole), check=True, env=environment)
    child = subprocess.Popen(command(killed), env=environment)
    deadline = time.monotonic() + 60
    while not list((killed / "checkpoint").glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (killed / "model.json").exists()
    subprocess.run(command(killed), check=True, env=environment)
    assert hashes(whole) == hashes(killed)


def test_it_learns(tmp_path: Path) -> None:
    images = phantom_set(tmp_path / "set", {"train": 4, "validation": 2}, size=128)
    settings = FitSettings(
        steps=120, batch=4, crop=64, lr=0.01, warmup=5, drop=0.0, validate_every=60, augment=PLAIN
    )
    out = trained(tmp_path / "model", images, settings)
    metrics = json.loads((out / "metrics.json").read_text())["validation"]
    share = 0.15  # what marking every pixel as vessel would reach is about 2·share/(1 + share)
    assert metrics["f1"] > 2 * 2 * share / (1 + share)
    losses = [entry["loss"] for entry in read_log(out) if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]


def test_the_kept_weights_are_the_best_on_validation(tmp_path: Path, images: Path) -> None:
    out = trained(tmp_path / "model", images)
    figures = {
        entry["step"]: entry["validation"]["f1"] for entry in read_log(out) if "validation" in entry
    }
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["validation"]["f1"] == max(figures.values())
    assert figures[metrics["best_step"]] == max(figures.values())


def test_fine_tuning_starts_from_the_given_weights(tmp_path: Path, images: Path) -> None:
    first = trained(tmp_path / "first", images)
    settings = TINY.model_copy(update={"steps": 1, "lr": 1e-12, "ema": 0.0, "warmup": 0})
    out = tmp_path / "second"
    out.mkdir()
    train(settings, {"images": artifact(images), "start": artifact(first)}, out, Progress())
    cpu = torch.device("cpu")
    before = dict(Model.load(first, cpu).networks[0].named_parameters())
    after = dict(Model.load(out, cpu).networks[0].named_parameters())
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-9, rtol=0)


def test_weights_that_are_no_numbers_are_no_start(tmp_path: Path, images: Path) -> None:
    start = trained(tmp_path / "start", images)
    weights = Model.load(start, torch.device("cpu")).networks[0]
    with torch.no_grad():
        weights.head.bias.fill_(float("nan"))
    save_tensors(start / "model.safetensors", weights.state_dict())
    inputs = {"images": artifact(images), "start": artifact(start)}
    for use in (lambda: train(TINY, inputs, tmp_path, Progress()), lambda: Model.load(start)):
        with pytest.raises(CheckpointError, match=r"head\.bias holds values that are NaN"):
            use()


def test_a_loss_that_is_no_number_stops_with_a_message(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    monkeypatch.setattr(
        "vesselforge.segmenter.training.fit.training_loss", lambda *_: torch.tensor(math.nan)
    )
    with pytest.raises(TrainingError, match=r"loss is nan at step 0.*lower `lr`"):
        train(TINY, {"images": artifact(images)}, broken, Progress())
    assert not (broken / "model.json").exists()


def test_images_without_masks_are_named(tmp_path: Path) -> None:
    images = phantom_set(tmp_path / "set", {"train": 1, "validation": 1}, masks=False)
    with pytest.raises(DataError, match="train image 00 has no vessel mask"):
        train(TINY, {"images": artifact(images)}, tmp_path, Progress())


def test_a_damaged_model_is_named(tmp_path: Path, images: Path) -> None:
    out = trained(tmp_path / "model", images)
    described = out / "model.json"
    whole = described.read_text()
    described.write_text(whole.replace('"sa-unet"', '"sa-unit"'))
    with pytest.raises(
        CheckpointError, match=r"model: no network sa-unit .*did you mean `sa-unet`"
    ):
        Model.load(out)
    described.write_text(whole)
    weights = out / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a whole safetensors file"):
        Model.load(out)
    with pytest.raises(CheckpointError, match=r"no model here.*model\.json"):
        Model.load(images)


def test_schedules_depend_on_the_step_alone() -> None:
    cosine = FitSettings(steps=100, lr=0.1, warmup=10, schedule="cosine")
    rates = [learning_rate(cosine, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) <= 0.1
    assert rates[99] < 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)
    steps = FitSettings(steps=90, lr=0.1, warmup=0, schedule="step")
    assert learning_rate(steps, 59) == pytest.approx(0.1)
    assert learning_rate(steps, 60) == pytest.approx(0.01)


def test_restarts_begin_the_cosine_anew() -> None:
    settings = FitSettings(steps=100, lr=0.1, warmup=0, schedule="restarts", period=25, min_lr=1e-3)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert max(rates) <= 0.1 and min(rates) > 0
    highest = [step for step, rate in enumerate(rates) if rate == pytest.approx(0.1)]
    assert highest == [0, 25, 50, 75]
    lowest = 0.5 * (1 + math.cos(math.pi * 24 / 25))
    assert rates[24] == pytest.approx(1e-3 + 0.099 * lowest)
    assert rates[:25] == rates[25:50]


def test_a_standstill_halves_the_rate_and_ends_the_training() -> None:
    settings = FitSettings(schedule="plateau", early_stop=21, lr=0.1, warmup=0)
    still = Plateau()
    for loss in (1.0, 0.9, *[0.95] * 9, 0.93):
        still.see(loss, settings)
    assert (still.factor, still.over) == (0.5, False)
    assert learning_rate(settings, 7, still.factor) == pytest.approx(0.05)
    for loss in (0.91,) * 9 + (0.9,):  # twenty validations without a lower loss
        still.see(loss, settings)
    assert (still.factor, still.over) == (0.25, False)
    still.see(math.inf, settings)
    assert still.over


def test_an_early_stop_survives_a_resume(tmp_path: Path, images: Path) -> None:
    update = {
        "steps": 30, "validate_every": 2, "early_stop": 1, "schedule": "plateau",
        "lr": 0.5, "warmup": 0,
    }  # fmt: skip
    settings = TINY.model_copy(update=update)
    whole = trained(tmp_path / "whole", images, settings)
    parts = tmp_path / "parts"
    parts.mkdir()
    with pytest.raises(Interrupted):
        train(settings, {"images": artifact(images)}, parts, StopAfter(3))
    train(settings, {"images": artifact(images)}, parts, Progress())
    assert hashes(whole) == hashes(parts)
    assert json.loads((whole / "metrics.json").read_text())["steps"] < 30


def test_the_last_weights_are_kept_on_request(tmp_path: Path, images: Path) -> None:
    out = trained(tmp_path / "model", images, TINY.model_copy(update={"keep": "last"}))
    assert json.loads((out / "metrics.json").read_text())["best_step"] == TINY.steps


def test_the_threshold_of_all_development_images(tmp_path: Path, images: Path) -> None:
    settings = TINY.model_copy(update={"threshold_on": "development"})
    out = trained(tmp_path / "model", images, settings)
    model = Model.load(out, torch.device("cpu"))
    records = [r for split in ("validation", "train") for r in read_index(images, split)]
    loaded = [load_image(images, record) for record in records]
    probs = [model.predict(image.image) for image in loaded]
    masks = [image.target > 127 for image in loaded]
    expected, _ = best_threshold(probs, masks, [image.fov for image in loaded])
    assert model.threshold == expected
    assert json.loads((out / "metrics.json").read_text())["threshold"] == expected


def test_gradients_are_clipped(tmp_path: Path, images: Path) -> None:
    settings = TINY.model_copy(update={"clip_value": 1e-3})
    plain, clipped = trained(tmp_path / "a", images), trained(tmp_path / "b", images, settings)
    assert hashes(plain)["model.safetensors"] != hashes(clipped)["model.safetensors"]


def test_the_papers_pool_trains_and_resumes(tmp_path: Path, images: Path) -> None:
    settings = TINY.model_copy(update={"source": "pool", "pad": 72, "scales": [1.0, 0.5]})
    whole = trained(tmp_path / "whole", images, settings)
    parts = tmp_path / "parts"
    parts.mkdir()
    with pytest.raises(Interrupted):
        train(settings, {"images": artifact(images)}, parts, StopAfter(3))
    train(settings, {"images": artifact(images)}, parts, Progress())
    assert hashes(whole) == hashes(parts)


def test_each_batch_is_seen_at_every_scale(images: Path) -> None:
    loaded = [load_image(images, record) for record in read_index(images, "train")]
    settings = TINY.model_copy(update={"scales": [1.0, 2.0], "augment": PLAIN})
    source = Batches(settings, 8, loaded)
    plain, double = source.batch_at(4), source.batch_at(5)
    assert [x.shape[-1] for x in (plain.image, double.image)] == [32, 64]
    torch.testing.assert_close(double.target[..., ::2, ::2], plain.target)  # labels: nearest
    assert not torch.equal(source.batch_at(6).image, plain.image)


def test_the_papers_threshold_is_one_half(tmp_path: Path, images: Path) -> None:
    out = trained(tmp_path / "model", images, TINY.model_copy(update={"threshold_on": "none"}))
    assert Model.load(out, torch.device("cpu")).threshold == 0.5


def test_an_output_that_is_no_number_is_said_at_validation(tmp_path: Path) -> None:
    """The last step before a validation may have spoilt the weights after its loss was taken."""
    images = phantom_set(tmp_path / "images", {"train": 1, "validation": 1})
    network = build("backbone")
    for parameter in network.parameters():
        parameter.data.fill_(float("nan"))
    loaded = [load_image(images, record) for record in read_index(images, "validation")]
    with pytest.raises(TrainingError, match="output on the validation images is no longer"):
        validate(network.eval(), loaded, torch.device("cpu"), Sizes(None))
