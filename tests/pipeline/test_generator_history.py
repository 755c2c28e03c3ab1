"""The card of a generator that was trained on: it names every training, and all of the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_generators import NAME, Made, change_manifest, config, make

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, WorkspaceError
from vesselforge.configs.load import load
from vesselforge.configs.settings import PhantomSettings, PipelineConfig
from vesselforge.data.phantoms.draw import VERSION
from vesselforge.data.prepare import content_hash, phantom_version
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_json
from vesselforge.generator.trained import load_discriminator
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.models.publish_generator import history, publish
from vesselforge.pipeline.models.score_rows import model_rows
from vesselforge.pipeline.run.run_works import run_works

pytestmark = pytest.mark.slow

UNKNOWN = "which is no training of its workspace and no published generator with these weights"


def card_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return content


def more(made: Made, start: str | Path) -> Artifact:
    """Three steps on other phantoms, at a lower rate."""
    changes = {"kimg": 0.012, "lr": 0.001, "lr_end": 0.2, "d_noise": 0.025, "d_noise_mask": 0.1}
    return made.train(phantoms=4, start_from=start, **changes)


def test_the_name_of_one_in_the_box_brings_its_history(made: Made, shelf: Path) -> None:
    second = more(made, NAME)
    folder = publish(second.path, "tiny-more", shelf)
    card, first = card_of(folder), card_of(shelf / NAME)
    assert card["trainings"][:1] == first["trainings"] and len(card["trainings"]) == 2
    last = card["trainings"][1]
    assert last["artifact"] == second.digest and last["kimg"] == 0.012
    assert last["trained_on"]["phantom"]["seed"] == 4
    assert last["scores"]["kid_mean"] == second.metrics["kid_mean"]
    assert card["kimg"] == 0.02 and card["trained_on"] == {"phantom": [2, 2]}
    assert load_discriminator(folder).img_resolution == 16
    text = (folder / "README.md").read_text()
    for fact in (
        "| trained on | phantoms drawn by VesselForge |",
        "| training | 0.02 kimg in 2 trainings: **untrained",
        f"seed 3, version {VERSION} | 2 of 64 px, seed 4, version {VERSION} |",
        "| lr | 0.0025 | 0.001 |",
        "| d_noise_mask | 0 | 0.1 |",
        "| kimg | 0.008 | 0.012 |",
        f"| kid_mean | {made.trained.metrics['kid_mean']:.4g} | {second.metrics['kid_mean']:.4g} |",
        "Apache-2.0, weights and samples too",
    ):
        assert fact in text
    rows = {row["name"]: row for row in model_rows("generator")}
    assert rows["tiny-more"]["trained on"] == "phantom, 2 + 2 images"
    assert rows["tiny-more"]["KID"] == second.metrics["kid_mean"]


def test_it_may_take_the_name_of_what_it_began_with_again_and_again(
    made: Made, shelf: Path
) -> None:
    second = more(made, NAME)
    cards = [card_of(publish(second.path, NAME, shelf, force=True)) for _ in range(2)]
    assert len(cards[0]["trainings"]) == 2 and cards[0] == cards[1]
    assert pretrained.damage(NAME) is None
    third = history(more(made, NAME).path)  # on from there
    assert [t.artifact for t in third[:2]] == [made.trained.digest, second.digest]
    assert len(third) == 3 and third[2].kimg == 0.012


def test_the_shipped_recipe_goes_on_where_the_first_training_ended() -> None:
    first, second = (load(PipelineConfig, name) for name in ("phantom-joint", "phantom-joint-more"))
    assert second.data.phantom == first.data.phantom.model_copy(update={"seed": 642})
    one, two = first.generator, second.generator
    told = (two.lr, two.lr * two.lr_end, two.d_noise, two.d_noise_mask, two.d_noise_end)
    ended = (one.d_noise * one.d_noise_end, one.d_noise_mask * one.d_noise_end)
    assert told == pytest.approx((0.001, 0.0004, *ended, 1))
    other = {"start_from", "kimg", "lr", "lr_end", "snapshot_kimg"}
    other |= {"d_noise", "d_noise_mask", "d_noise_end"}
    assert one.model_dump(exclude=other) == two.model_dump(exclude=other)
    assert str(two.start_from) in pretrained.names("generator")


def test_a_training_of_the_workspace_brings_its_manifests(made: Made, tmp_path: Path) -> None:
    second = more(made, made.trained.path)
    assert [t.artifact for t in history(second.path)] == [made.trained.digest, second.digest]
    moved = shutil.copytree(made.workspace, tmp_path / "moved")
    away = made.trained.path.rename(made.trained.path.with_name("away"))
    try:
        found = history(moved / "store" / "generator.train" / second.digest)
        assert [t.trained_on.phantom and t.trained_on.phantom["seed"] for t in found] == [3, 4]
        with pytest.raises(WorkspaceError, match=UNKNOWN):
            history(second.path)
    finally:
        away.rename(made.trained.path)


def test_a_round_of_a_run_brings_the_one_before(made: Made) -> None:
    before = run_works(config()).until("generator")
    settings = config(kimg=0.004).generator
    inputs = {"images": before.inputs["images"], "start": before}
    second = make(made.workspace, Work("again", "generator.train", settings, inputs))
    assert [t.kimg for t in history(second.path)] == [0.008, 0.004]
    card = card_of(publish(second.path, "again", made.workspace / "round"))
    assert card["trained_on"] == {"phantom": [2]}  # the same images


def test_photographs_that_an_earlier_training_saw_are_named(made: Made, shelf: Path) -> None:
    first = made.train(phantoms=5)
    second = more(made, first.path)
    images = made.images.path.with_name(first.manifest["inputs"]["images"])
    change_manifest(images, lambda m: m["settings"]["data"].update(name="drive"))
    folder = publish(second.path, "photographic", shelf)
    card, text = card_of(folder), (folder / "README.md").read_text()
    assert list(card["trained_on"]) == ["drive", "phantom"]
    assert card["samples"] is None and not (folder / "samples.png").exists()
    assert "follow the data they were trained on: DRIVE" in card["licence"]
    assert "show nobody" not in text and "| data | drive | phantom |" in text
    origin = json.loads((folder / "generator.json").read_text())["provenance"]["origin"]
    assert "trained on DRIVE" in origin and "; phantoms drawn by VesselForge;" in origin


def test_weights_from_elsewhere_are_refused(made: Made, shelf: Path, tmp_path: Path) -> None:
    foreign = shutil.copytree(made.published, tmp_path / "foreign")
    (foreign / "card.json").unlink()
    description = json.loads((foreign / "generator.json").read_text())
    write_json(foreign / "generator.json", description | {"classes": ["of", "others"]})
    begun = more(made, foreign)
    with pytest.raises(WorkspaceError, match=f"trained on from .*{foreign.name}, {UNKNOWN}"):
        publish(begun.path, "other", shelf)
    with pytest.raises(WorkspaceError, match="data and licence are not known"):
        publish(more(made, begun.path).path, "other", shelf)  # nor of what came of it
    assert pretrained.names() == [NAME]


def test_a_card_without_a_history_is_told(made: Made, shelf: Path) -> None:
    path = publish(made.trained.path, "older", shelf) / "card.json"
    begun, card = more(made, "older"), json.loads(path.read_text())
    for spoilt, where in (([], "trainings"), ([{"seed": 1}], "trainings.0.artifact")):
        write_json(path, card | {"trainings": spoilt})
        with pytest.raises(CheckpointError, match=f"older/card.json: {where}: .*the history that"):
            history(begun.path)


def test_the_version_of_phantoms_follows_from_their_content() -> None:
    data = config().data
    assert phantom_version(data.phantom, content_hash(data)) == VERSION
    assert phantom_version(PhantomSettings(seed=7), content_hash(data)) is None
    first = "b7969c4d5c8625d861b8b06fc4e1c3bdbbf1087e97d34d637cc597837cb6fb78"
    box = PhantomSettings(train=600, validation=4, test=0, size=540, seed=640)
    assert phantom_version(box, first) == 1
