"""Which trained models can be published, under which names, and how often."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from model_room import change, command, published, spoil_a_bit

from vesselforge import pretrained
from vesselforge.configs.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    UserError,
    WorkspaceError,
)
from vesselforge.engine.files import write_json


def train(room: Path) -> Path:
    return room / "store" / "segmenter.train" / "m1"


def other_kind(room: Path) -> None:
    change(train(room) / "manifest.json", lambda m: m.update(kind="segmenter.ensemble"))


def tuned(room: Path) -> None:
    change(train(room) / "manifest.json", lambda m: m["inputs"].update(start="m0"))


def other_threshold(room: Path) -> None:
    change(room / "scores.json", lambda s: s["drive"]["models"]["model"].update(threshold=0.5))


def scored_all(room: Path) -> None:
    change(room / "scores.json", lambda s: s["drive"].update(split="all"))


def twice(room: Path) -> None:
    (room / "chase.json").write_text((room / "scores.json").read_text())


def no_scores(room: Path) -> None:
    for name in ("scores", "chase"):
        (room / f"{name}.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (other_kind, WorkspaceError, "is a segmenter.ensemble, expected a segmenter.train"),
        (tuned, WorkspaceError, "was trained on from another model"),
        (lambda r: spoil_a_bit(train(r)), WorkspaceError, "differs from the SHA-256 in its manif"),
        (lambda r: (train(r) / "manifest.json").unlink(), WorkspaceError, "no manifest.json here"),
        (
            lambda r: (r / "store/data.prepare/i1/manifest.json").unlink(),
            WorkspaceError,
            "the images that .* was trained on are not in its store",
        ),
        (
            other_threshold,
            DataError,
            "scored at threshold 0.5, the model has threshold 0.4; these",
        ),
        (scored_all, DataError, "drive was scored on all images, those that the model was train"),
        (twice, DataError, "scores on drive were given twice"),
        (no_scores, DataError, "no scores in these files"),
        (lambda r: (r / "scores.json").unlink(), DataError, "scores.json: cannot be read"),
        (lambda r: (r / "scores.json").write_text("a,b"), DataError, "expected what `vesselforge"),
        (lambda r: (r / "shelf/tiny").mkdir(parents=True), ConfigError, "tiny: exists; choose an"),
    ],
)
def test_what_cannot_be_published(
    spoil: Callable[[Path], object], error: type[UserError], message: str, room: Path
) -> None:
    spoil(room)
    with pytest.raises(error, match=message):
        published(room)
    assert pretrained.names() == []


def test_names_and_sizes_have_limits(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Tiny", "a b", "../a", "a--b", ""):
        with pytest.raises(ConfigError, match="expected a-z, 0-9 and single dashes"):
            published(room, name)
    monkeypatch.setitem(pretrained.LIMITS, "segmenter", 1_000_000)
    with pytest.raises(CheckpointError, match=r"1\.\d\d MB, expected at most 1 MB"):
        published(room)
    assert list((room / "shelf").iterdir()) == []


def test_publishing_again_needs_force(room: Path) -> None:
    options = ["--scores", room / "scores.json", "-o", room / "shelf"]
    options += ["--name", "tiny"]
    assert command("publish", train(room), *options).exit_code == 0
    again = command("publish", train(room), *options)
    assert again.exit_code == 2
    assert "tiny: exists; choose another name, or give --force" in again.stderr
    assert command("publish", train(room), *options, "--force").exit_code == 0


def phantoms(room: Path) -> None:
    """As if the model had been trained on phantoms, too."""
    made = {
        "segmenter.pseudo-label/l1": {
            "settings": {"labels": "own"},
            "inputs": {"samples": "p1"},
            "metrics": {"kept": 38},
        },
        "data.phantom/p1": {
            "settings": {"appearance": "fitted", "count": 40, "size": None},
            "inputs": {"images": "i1"},
            "metrics": {},
        },
    }
    for address, content in made.items():
        kind, digest = address.split("/")
        folder = room / "store" / address
        folder.mkdir(parents=True)
        write_json(
            folder / "manifest.json", {"kind": kind, "digest": digest, "files": {}} | content
        )
    change(train(room) / "manifest.json", lambda m: m["inputs"].update(synthetic="l1"))


def test_a_card_names_the_synthetic_images(room: Path) -> None:
    phantoms(room)
    folder = published(room)
    line = "| 38, drawn by `data.phantom` (appearance fitted, count 40), labels: own |"
    assert line in (folder / "README.md").read_text()
    assert json.loads((folder / "card.json").read_text())["synthetic"]["images"] == 38


def test_synthetic_images_that_are_gone_are_named(room: Path) -> None:
    phantoms(room)
    (room / "store/data.phantom/p1/manifest.json").unlink()
    with pytest.raises(WorkspaceError, match=r"the synthetic images that .* was trained on are no"):
        published(room)
