"""Training on real and synthetic images: the share of each, what chooses the threshold, resuming,
and labels that are not trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batch_parts import OFF, parts
from segmenter_helpers import TINY, StopAfter, artifact, hashes, phantom_set, pseudo_labelled

from vesselforge.configs.settings import FitSettings
from vesselforge.data.batches.sources import CropSource
from vesselforge.data.imageset import LoadedImage, load_image, read_index, write_index, write_png
from vesselforge.engine.log import LOG, read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.training import fit
from vesselforge.segmenter.training.batch_sources import Batches, synthetic_crops
from vesselforge.segmenter.training.fit import train

pytestmark = pytest.mark.slow

BRIEF = {"steps": 2, "validate_every": 2, "checkpoint_every": 2}
REAL, MADE = 1.0, 0.5
"""Tones of flat images, by which a crop's set is known."""


def flat(id_: str, tone: float, weight: float | None = None) -> LoadedImage:
    image = np.full((40, 48, 3), round(255 * tone), np.uint8)
    target = np.zeros((40, 48), np.uint8)
    weights = None if weight is None else np.full((40, 48), round(255 * weight), np.uint8)
    return LoadedImage(id_, image, target, np.ones((40, 48), bool), {}, weights)


def settings_of(**update: Any) -> FitSettings:
    return FitSettings(crop=16, augment=OFF, **update)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_set(tmp_path_factory.mktemp("real"), {"train": 3, "validation": 1})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pseudo-labelled set: soft labels and weights, and one rejected image."""
    folder = tmp_path_factory.mktemp("made")
    return pseudo_labelled(phantom_set(folder, {"train": 2, "rejected": 1}, size=48))


def run(out: Path, settings: FitSettings, stop: int | None = None, **inputs: Path) -> Path:
    out.mkdir(exist_ok=True)
    progress = Progress() if stop is None else StopAfter(stop)
    train(settings, {name: artifact(path) for name, path in inputs.items()}, out, progress)
    return out


@pytest.mark.parametrize(
    ("batch", "share", "expected"),
    [(8, 0.5, 4), (8, 0.3, 2), (10, 0.75, 8), (2, 0.01, 1), (8, 0.99, 7), (4, 0.01, 1)],
)
def test_every_batch_has_exactly_its_share(batch: int, share: float, expected: int) -> None:
    settings = settings_of(batch=batch, synthetic_share=share)
    assert synthetic_crops(settings) == expected
    source = Batches(settings, 8, [flat("a", REAL)], [flat("b", MADE), flat("c", MADE)])
    for step in range(5):
        images, targets, fov = parts(source.batch_at(step))
        assert images.shape == (batch, 3, 16, 16)
        assert targets.shape == fov.shape == (batch, 1, 16, 16)
        synthetic = (images.amax(dim=(1, 2, 3)) - MADE).abs() < 0.01
        assert synthetic.sum() == expected
        assert synthetic[-expected:].all()


def test_each_set_has_its_own_augmentation() -> None:
    sets = [flat("a", REAL * 0.8)], [flat("b", MADE)]
    darker = OFF.model_copy(update={"brightness": 0.1})

    def changed(**update: Any) -> list[bool]:
        settings = settings_of(batch=4, synthetic_share=0.5).model_copy(update=update)
        images, _, _ = parts(Batches(settings, 8, *sets).batch_at(0))
        tones = images.amax(dim=(1, 2, 3))
        return [bool(((x * 255 - (x * 255).round()).abs() > 1e-3).any()) for x in tones]

    assert changed() == [False] * 4
    assert changed(augment=darker) == [True] * 4
    assert changed(augment=darker, synthetic_augment=OFF) == [True, True, False, False]
    assert changed(synthetic_augment=darker) == [False, False, True, True]


def test_a_mixed_batch_is_a_batch_of_each(real: Path, made: Path) -> None:
    """The real crops are those of a source of their own; the synthetic ones draw otherwise."""
    ours, theirs = (
        [load_image(folder, record) for record in read_index(folder, "train")]
        for folder in (real, made)
    )
    settings = TINY.model_copy(update={"batch": 5, "synthetic_share": 0.4})
    mixed = Batches(settings, 8, ours, theirs).batch_at(3)
    first = CropSource(ours, 32, 3, settings.seed, settings.augment).batch_at(3)
    assert torch.equal(mixed.image[:3], first.image)
    assert torch.equal(mixed.target[:3], first.target)
    assert (mixed.weight[:3] == 1).all()  # real labels are trusted
    assert (mixed.weight[3:] < 1).any()
    same_draws = CropSource(theirs, 32, 2, settings.seed, settings.augment).batch_at(3)
    assert not torch.equal(mixed.image[3:], same_draws.image)
    again = Batches(settings, 8, ours, theirs).batch_at(3)
    assert all(map(torch.equal, mixed.tensors(), again.tensors()))


def test_mixed_batches_at_several_sizes() -> None:
    settings = settings_of(batch=4, scales=[1.0, 2.0], synthetic_share=0.5)
    source = Batches(settings, 8, [flat("a", REAL)], [flat("b", MADE, weight=0.2)])
    batch = source.batch_at(1)
    assert batch.image.shape == (4, 3, 32, 32) and batch.weight.shape == (4, 1, 32, 32)
    assert batch.weight.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1, 0.2, 0.2])


def test_a_mixed_training_resumes_bit_for_bit(tmp_path: Path, real: Path, made: Path) -> None:
    settings = TINY.model_copy(update={"synthetic_augment": OFF, "threshold_on": "development"})
    whole = run(tmp_path / "whole", settings, images=real, synthetic=made)
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", settings, stop=3, images=real, synthetic=made)
    parts = run(tmp_path / "parts", settings, images=real, synthetic=made)
    assert hashes(whole) == hashes(parts)
    alone = run(tmp_path / "alone", settings, images=real)
    assert hashes(alone)["model.safetensors"] != hashes(whole)["model.safetensors"]


@pytest.mark.parametrize("inputs", ["mixed", "synthetic-first"])
def test_the_threshold_is_chosen_on_real_images(
    tmp_path: Path, real: Path, made: Path, inputs: str
) -> None:
    settings = TINY.model_copy(update={"threshold_on": "development"})
    folders = {
        "mixed": {"images": real, "synthetic": made},
        "synthetic-first": {"images": made, "validation": real},
    }[inputs]
    model = Model.load(run(tmp_path / "model", settings, **folders), torch.device("cpu"))
    loaded = [load_image(real, r) for s in ("validation", "train") for r in read_index(real, s)]
    probs = [model.predict(image.image) for image in loaded]
    masks, fovs = [image.target > 127 for image in loaded], [image.fov for image in loaded]
    assert len(loaded) == 4
    assert model.threshold == best_threshold(probs, masks, fovs)[0]


def test_statistics_are_those_of_mixed_batches(
    tmp_path: Path, real: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(network: Any, source: Any, first: int) -> None:
        seen.append(source.batch_at(first).image)

    monkeypatch.setattr(fit, "precise_batch_norm", noted)
    settings = TINY.model_copy(update={"validate_every": TINY.steps})
    run(tmp_path / "model", settings, images=real, synthetic=made)
    ours, theirs = (
        [load_image(folder, record) for record in read_index(folder, "train")]
        for folder in (real, made)
    )
    expected = Batches(settings, 8, ours, theirs).batch_at(TINY.steps).image
    assert len(seen) == 1 and torch.equal(seen[0], expected)


def doubtful(folder: Path, wrong: bool, trust: int) -> Path:
    """Phantoms of which the left half of every label has a weight, and may be wrong."""
    phantom_set(folder, {"train": 2, "validation": 1})
    records = []
    for record in read_index(folder):
        label = load_image(folder, record).target.copy()
        weight = np.full(label.shape, 255, np.uint8)
        half = label.shape[1] // 2
        weight[:, :half] = trust
        if wrong and record.split == "train":
            label[:, :half] = 255 - label[:, :half]
        write_png(folder / f"weights/{record.id}.png", weight)
        write_png(folder / f"own/{record.id}.png", label)
        records.append(
            replace(record, mask=f"own/{record.id}.png", weight=f"weights/{record.id}.png")
        )
    write_index(folder, "doubtful", records)
    return folder


@pytest.mark.parametrize("loss", ["bce-dice", "bce-mcc", "structure", "balanced-bce-dice"])
def test_wrong_labels_of_weight_zero_teach_nothing(tmp_path: Path, loss: str) -> None:
    settings = TINY.model_copy(
        update={"loss": loss, "augment": OFF.model_copy(update={"flip": True})} | BRIEF
    )
    logs = []
    for name in ("right", "wrong"):
        folder = doubtful(tmp_path / name, wrong=name == "wrong", trust=0)
        logs.append((run(tmp_path / f"{name}-model", settings, images=folder) / LOG).read_text())
    assert logs[0] == logs[1]


def test_weights_count_in_the_loss(tmp_path: Path) -> None:
    losses = []
    for trust in (0, 255):
        folder = doubtful(tmp_path / f"set-{trust}", wrong=True, trust=trust)
        settings = TINY.model_copy(update=BRIEF)
        losses.append(next(read_log(run(tmp_path / str(trust), settings, images=folder))))
    assert losses[0]["step"] == losses[1]["step"] == 2
    assert losses[0]["loss"] != losses[1]["loss"]


def test_full_weights_are_no_weights(tmp_path: Path) -> None:
    folder = doubtful(tmp_path / "set", wrong=False, trust=255)
    models = [Model.load(run(tmp_path / "weighed", TINY.model_copy(update=BRIEF), images=folder))]
    write_index(folder, "sure", [replace(record, weight=None) for record in read_index(folder)])
    models.append(Model.load(run(tmp_path / "plain", TINY.model_copy(update=BRIEF), images=folder)))
    weights = [dict(model.networks[0].named_parameters()) for model in models]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-6, rtol=1e-4)
