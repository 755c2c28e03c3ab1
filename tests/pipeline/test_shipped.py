"""Trained models by name: found, checked, used; and those we ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_room import change, command, published, spoil_a_bit
from PIL import Image
from typer.testing import CliRunner

from vesselforge import pretrained
from vesselforge.cli.main import main
from vesselforge.configs.errors import (
    CheckpointError,
    DataError,
)
from vesselforge.engine.files import file_sha256
from vesselforge.pipeline.record import model_folder
from vesselforge.segmenter.models import Model


def test_a_published_model_is_known_by_its_name(room: Path) -> None:
    folder = published(room)
    assert pretrained.names() == ["tiny"]
    assert pretrained.damage("tiny") is None
    assert model_folder(Path("tiny")) == folder
    assert Model.load(folder).threshold == 0.4
    assert {p.name for p in folder.iterdir()} == {
        "card.json", "model.json", "model.safetensors", "README.md"
    }  # fmt: skip
    text = (folder / "README.md").read_text()
    for fact in (
        "| network | `sa-unet-v2`, 260,521 parameters",
        "| threshold | 0.4, chosen on validation images |",
        "| training images | 2: 21, 22 |",
        "| validation images | 1: 37 |",
        "| seed | 7 |",
        "| training | 1000 steps, 1.5 minutes on CPU, 2 threads; weights of step 900 |",
        "| drive (test) | 20 | once | 0.8316 | 0.7500 | 0.7500 |",
        "| – | 0.8311 [0.8200, 0.8400] |",
        "| chase-db1 (all) | 28 | in four mirrors, FOV 540 px wide |",
        "| scales | [1.0] |",
        "| augment.flip | True |",
        "was 0.8123: no measure of quality",
        "It is no medical device",
    ):
        assert fact in text
    assert "private" not in text + (folder / "card.json").read_text()
    assert "| calibration | prob" not in text and "| components | pieces" not in text


def test_calibration_and_components_are_on_the_card_and_in_the_scores(room: Path) -> None:
    model = room / "store" / "segmenter.train" / "m1"
    fitted = {"temperature": 1.25, "shift": -0.5}
    rule = {"sure": 0.75, "smallest": 50}
    change(model / "model.json", lambda content: content["members"][0].update(fitted))
    change(model / "model.json", lambda content: content.update(components=rule))
    files = {p.name: file_sha256(p) for p in model.iterdir() if p.name != "manifest.json"}
    change(model / "manifest.json", lambda manifest: manifest.update(files=files))
    told = "scored at threshold 0.4, the model has threshold 0.4, temperature 1.25, shift -0.5, "
    with pytest.raises(DataError, match=told + "smallest 50, sure 0.75; these are the scores"):
        published(room)
    for name, dataset in (("scores", "drive"), ("chase", "chase-db1")):
        point = {"calibration": [fitted], "components": rule}
        change(
            room / f"{name}.json", lambda s, d=dataset, p=point: s[d]["models"]["model"].update(p)
        )
    folder = published(room)
    text = (folder / "README.md").read_text()
    assert "| calibration | probability = sigmoid(logit / 1.25 -0.5), fitted on the same" in text
    assert "| components | pieces with a pixel of at least 0.75, and of at least 50 pixels" in text
    card = pretrained.card("tiny")
    assert (card["calibration"], card["components"]) == (fitted, rule)
    assert Model.load(folder).components.said() == {"components": rule}


def test_a_name_serves_wherever_a_model_is_taken(room: Path, monkeypatch: Any) -> None:
    folder = published(room)
    picture = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(picture).save(room / "eye.png")
    for model, out in (("tiny", "a"), (folder, "b")):
        done = command("predict", model, room / "eye.png", "-o", room / out)
        assert done.exit_code == 0, done.output
    maps = [(room / out / "eye_probability.png").read_bytes() for out in ("a", "b")]
    assert maps[0] == maps[1]
    # A folder that only has the name of a model, as one of its maps, does not hide it.
    monkeypatch.chdir(room)
    done = command("predict", "tiny", room / "eye.png", "-o", "tiny")
    assert done.exit_code == 0, done.output
    assert model_folder(Path("tiny")) == folder
    assert (room / "tiny" / "eye_mask.png").is_file()
    # A model that lies there comes first: it is the user's own.
    (room / "tiny" / "model.json").write_text("{}")
    assert model_folder(Path("tiny")) == Path("tiny")


def all_models(room: Path, *options: str) -> str:
    where = ["--workspace", str(room / "ws"), *options]
    done = CliRunner().invoke(main, ["models", "list", *where])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_table_of_models(room: Path) -> None:
    published(room)
    published(room, "other-tiny")
    listed = all_models(room)
    for cell in ("other-tiny", "sa-unet-v2", "260521", "drive, 2 images", "0.8316", "1.0"):
        assert cell in listed
    cards = json.loads(all_models(room, "--json"))["segmenters"]
    assert cards["tiny"]["scores"]["drive"]["fov"]["pooled"]["f1"] == 0.8316


def test_an_unknown_name_is_told_the_known_ones(room: Path) -> None:
    published(room)
    done = command("predict", "tinny", "eye.png", "-o", room / "out")
    assert done.exit_code == 2
    expected = (
        "tinny: no such model, by name or as a folder; did you mean `tiny`? with VesselForge come: "
        "tiny; models in "
    )
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_a_bit, r"model\.safetensors: SHA-256 is \w{12}…, expected"),
        (lambda f: (f / "model.json").unlink(), r"model\.json: this file of the model is missing"),
        (lambda f: (f / "README.md").write_text("no"), r"README\.md: SHA-256 is"),
        (lambda f: (f / "card.json").write_text("{"), r"card\.json: not a readable model card"),
        (
            lambda f: change(f / "card.json", lambda card: card.update(kind="poem")),
            r"card\.json: .* \(kind: expected segmenter or generator\)",
        ),
    ],
)
def test_a_damaged_download_is_told(
    spoil: Callable[[Path], object], message: str, room: Path
) -> None:
    spoil(published(room))
    with pytest.raises(CheckpointError, match=message + ".*install vesselforge again"):
        model_folder(Path("tiny"))


def test_the_promised_models_come_with_the_package() -> None:
    assert {"sa-unet-drive", "sa-unet-v2-drive"} <= set(pretrained.names("segmenter"))
    assert {pretrained.kind_of(name) for name in pretrained.names()} <= set(pretrained.LIMITS)


@pytest.mark.parametrize("name", pretrained.names("segmenter"))
def test_what_comes_with_the_package_is_whole(name: str) -> None:
    assert pretrained.damage(name) is None
    folder, card = pretrained.folder(name), pretrained.card(name)
    assert pretrained.size(name) <= pretrained.LIMITS["segmenter"] == 3_000_000
    assert set(card["files"]) == {"model.json", "model.safetensors", "README.md"}
    assert {p.name for p in folder.iterdir()} == {*card["files"], "card.json"}
    assert card["name"] == name
    model = Model.load(folder, torch.device("cpu"))
    assert model.threshold == card["threshold"]
    prob = model.predict(np.zeros((64, 72, 3), dtype=np.uint8))
    assert prob.shape == (64, 72)
    assert prob.max() < 0.5  # there are no vessels in the dark
    text = (folder / "README.md").read_text()
    for part in (f"# {name}", "## Scores", "## Recipe", "| seed |", "no medical device"):
        assert part in text
