"""Probabilities that mean what they say: temperature and shift fitted, stored, applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from metric_helpers import pooled
from onnx_maps import onnx_map
from segmenter_helpers import TINY, artifact, hashes, phantom_set, settled, trained
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.configs.settings import FitSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.calibration import TEMPERATURES, calibrate, fitted
from vesselforge.segmenter.components import choose_components
from vesselforge.segmenter.inference.onnx_segmenter import export
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.model_files import Member, calibration_of, read_description, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.training.fit import train
from vesselforge.segmenter.training.state import new_state

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@pytest.mark.parametrize(("factor", "offset"), [(3.0, 0.0), (0.4, 0.0), (1.0, 0.0), (2.0, -1.5)])
def test_what_was_done_to_logits_is_found_again(factor: float, offset: float) -> None:
    honest = RNG.normal(-2, 3, 400_000)
    truth = RNG.random(honest.size) < sigmoid(honest)
    temperature, shift = fitted(((honest - offset) * factor).astype(np.float32), truth)
    assert temperature == pytest.approx(factor, rel=0.02)
    assert shift == pytest.approx(offset, abs=0.02)


def test_a_fit_has_limits() -> None:
    logits, truth = np.linspace(-5, 5, 1000), np.arange(1000) >= 500
    assert fitted(logits, truth)[0] == TEMPERATURES[0]  # without fault: as sure as may be
    assert fitted(logits, ~truth)[0] == TEMPERATURES[1]  # always wrong: as unsure
    for one_kind in (np.zeros(1000, bool), np.ones(1000, bool)):
        with pytest.raises(DataError, match=r"calibrate: the images have pixels of one kind only"):
            fitted(logits, one_kind)


class Reader(Segmenter):
    """The logit is written in the image: a grey level is an eighth, 128 is 0."""

    multiple, encoder_channels = 8, (1,)

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor) -> list[Tensor]:
        return [x]

    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        return [(x[:, :1] * 255 - 128) / 8 + self.unused]


def readable(factor: float, offset: float) -> list[LoadedImage]:
    """Images whose vessels are as likely as sigmoid(logit / factor + offset), outside the field of
    view as likely as not."""
    images = []
    for number in range(3):
        grey = RNG.normal(100, 40, (120, 133)).clip(0, 255).astype(np.uint8)
        fov = np.zeros(grey.shape, bool)
        fov[10:-10, 10:-10] = True
        prob = np.where(fov, sigmoid((grey - 128.0) / 8 / factor + offset), 0.5)
        truth = (RNG.random(grey.shape) < prob).astype(np.uint8) * 255
        images.append(LoadedImage(str(number), np.repeat(grey[..., None], 3, 2), truth, fov, {}))
    return images


def scores_of(network: Segmenter, images: list[LoadedImage]) -> dict[str, float]:
    probs = [Model([network], 0.5, CPU).predict(image.image) for image in images]
    return pooled(probs, [i.target > 127 for i in images], [i.fov for i in images], 0.5)


def test_calibration_is_seen_in_the_error_and_not_in_the_order() -> None:
    network, images = Reader().eval(), readable(2.5, -1.0)
    before = scores_of(network, images)
    calibrate(network, images)
    assert network.temperature == pytest.approx(2.5, rel=0.04)
    assert network.shift == pytest.approx(-1.0, abs=0.06)
    after = scores_of(network, images)
    assert before["ece"] > 0.03 and after["ece"] < 0.01
    assert after["auc"] == pytest.approx(before["auc"], abs=1e-5)
    first = network.temperature, network.shift
    calibrate(network, images)  # from the logits, whatever the network had
    assert (network.temperature, network.shift) == first


def saved(folder: Path, *networks: Segmenter, **changes: Any) -> Path:
    """A model of narrow SA-UNets, the members changed."""
    folder.mkdir(parents=True, exist_ok=True)
    members = [
        (Member("sa-unet", {"width": 4}, f"{i}.safetensors", **changes), network.state_dict())
        for i, network in enumerate(networks)
    ]
    save_model(folder, members, 0.4)
    return folder


def narrow(seed: int) -> Segmenter:
    torch.manual_seed(seed)
    return settled(build("sa-unet", width=4))


def test_every_runtime_and_export_gives_the_calibrated_probability(tmp_path: Path) -> None:
    image = RNG.integers(0, 255, (41, 60, 3), dtype=np.uint8)
    first, second = narrow(0), narrow(1)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    logits = [network(x)[0, 0].numpy() for network in (first, second)]
    one = saved(tmp_path / "one", first, temperature=2.5, shift=-0.75)
    wanted = sigmoid(logits[0] / 2.5 - 0.75)
    assert np.abs(wanted - sigmoid(logits[0])).max() > 0.05
    for runtime in ("torch", "fast"):
        found = Model.load(one, CPU, runtime).predict(image)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    export(one, tmp_path / "m.onnx")
    np.testing.assert_allclose(onnx_map(tmp_path / "m.onnx", image), wanted, atol=1e-4)
    both = saved(tmp_path / "both", first, second, temperature=2.5, shift=-0.75)
    mean = np.mean([sigmoid(logit / 2.5 - 0.75) for logit in logits], axis=0)
    np.testing.assert_allclose(Model.load(both, CPU).predict(image), mean, atol=1e-5)
    np.testing.assert_allclose(Model.load(both, CPU, "fast").members(image)[0], wanted, atol=1e-5)


def test_a_description_is_read_as_it_was_written_and_silent_where_nothing_was_fitted(
    tmp_path: Path,
) -> None:
    network = narrow(0)
    plain = saved(tmp_path / "plain", network)
    content = json.loads((plain / "model.json").read_text())
    assert content.keys() == {"members", "parameters", "threshold"}
    assert content["members"][0].keys() == {"network", "options", "file"}
    (member,) = read_description(plain).members
    assert (member.temperature, member.shift, calibration_of(member)) == (1.0, 0.0, {})
    changed = saved(tmp_path / "changed", network, temperature=1.25)
    (member,) = read_description(changed).members
    assert calibration_of(member) == {"temperature": 1.25, "shift": 0.0}
    (loaded,) = Model.load(changed, CPU).networks
    assert (loaded.temperature, loaded.shift) == (1.25, 0.0)
    assert "temperature" not in network.state_dict()  # weights are what they were


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"temperature": 0}, r"members.0.temperature: .* greater than 0.001, found 0"),
        ({"temperature": -2.0}, r"members.0.temperature: .*, found -2.0"),
        ({"temperature": float("nan")}, r"members.0.temperature: .*, found nan"),
        ({"temperature": float("inf")}, r"members.0.temperature: .*, found inf"),
        ({"temperature": "warm"}, r"members.0.temperature: .* valid number.*, found 'warm'"),
        ({"shift": float("nan")}, r"members.0.shift: .*, found nan"),
        ({"tempreature": 1.5}, r"members.0.tempreature"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(
    tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    folder = saved(tmp_path, narrow(0))
    content = json.loads((folder / "model.json").read_text())
    content["members"][0] |= change
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf"model\.json: .*{fault}"):
        Model.load(folder)


def test_a_components_rule_that_cannot_be_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, narrow(0))
    content = json.loads((folder / "model.json").read_text())
    content["components"] = {"sure": float("nan"), "smallest": 3}
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"model\.json: .*\.sure: .*found nan"):
        Model.load(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_set(tmp_path_factory.mktemp("set"), {"train": 2, "validation": 2})


@pytest.mark.parametrize("where", ["validation", "development"])
def test_a_training_calibrates_then_cuts_then_chooses_pieces(
    tmp_path: Path, images: Path, where: str
) -> None:
    settings = TINY.model_copy(
        update={"threshold_on": where, "calibrate": True, "components": True}
    )
    plain = trained(tmp_path / "plain", images)
    out = trained(tmp_path / "model", images, settings)
    files = hashes(plain), hashes(out)
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]
    model, metrics = Model.load(out, CPU), json.loads((out / "metrics.json").read_text())
    splits = ("validation",) if where == "validation" else ("validation", "train")
    loaded = [load_image(images, r) for split in splits for r in read_index(images, split)]
    masks, fovs = [i.target > 127 for i in loaded], [i.fov for i in loaded]
    before = [Model.load(plain, CPU).predict(i.image) for i in loaded]
    probs = [model.predict(i.image) for i in loaded]
    assert pooled(probs, masks, fovs, 0.5)["ece"] < pooled(before, masks, fovs, 0.5)["ece"]
    assert model.threshold == metrics["threshold"] == best_threshold(probs, masks, fovs)[0]
    assert model.components == choose_components(probs, masks, fovs, model.threshold)
    (network,) = model.networks
    assert (metrics["temperature"], metrics["shift"]) == (network.temperature, network.shift)
    assert network.shift != 0
    assert {k: v for k, v in metrics.items() if k == "components"} == model.components.said()


def test_a_training_on_from_calibrated_weights_starts_at_the_weights(
    tmp_path: Path, images: Path
) -> None:
    start = trained(tmp_path / "start", images)
    content = json.loads((start / "model.json").read_text())
    content["members"][0] |= {"temperature": 3.0, "shift": 1.0}
    (start / "model.json").write_text(json.dumps(content))
    network = new_state(TINY, start, CPU).network
    assert (network.temperature, network.shift) == (1.0, 0.0)
    on = tmp_path / "on"
    on.mkdir()
    train(TINY, {"images": artifact(images), "start": artifact(start)}, on, Progress())
    assert read_description(on).members[0].shift == 0


@pytest.mark.parametrize("name", ["calibrate", "components"])
def test_what_is_chosen_on_images_needs_some(name: str) -> None:
    with pytest.raises(ValueError, match=r"calibrate and components are chosen on .*none"):
        FitSettings.model_validate({name: True, "threshold_on": "none"})
