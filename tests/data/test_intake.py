"""Folders that people keep adding to: what changed, what is bad, and that it is not fatal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_drive, write_paired

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.layouts import intake
from vesselforge.data.layouts.intake import Intake, sort_out
from vesselforge.data.prepare import content_hash
from vesselforge.engine.progress import Progress


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight sound pairs."""
    return write_paired(tmp_path)


def settings(root: Path, **more: object) -> DataSettings:
    return DataSettings.model_validate({"name": "paired", "root": root, **more})


def fingerprint(data: DataSettings) -> str:
    return content_hash(data, lenient=True)


def sorted_out(root: Path, **more: object) -> Intake:
    """However many are bad."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "MOST_BAD", 0.9)
        return sort_out(settings(root, **more), Progress())


def test_a_fingerprint_changes_with_every_file_and_only_then(root: Path) -> None:
    seen = {fingerprint(settings(root))}
    assert fingerprint(settings(root)) in seen
    (root / "notes.txt").write_text("no image")
    assert fingerprint(settings(root)) in seen

    def changed() -> bool:
        found = fingerprint(settings(root))
        new = found not in seen
        seen.add(found)
        return new

    save(root / "images" / "new.png", phantom(9).image)
    assert changed()  # an image without a mask
    save(root / "masks" / "new.png", phantom(9).mask)
    assert changed()
    save(root / "masks" / "alone.png", phantom(9).mask)
    assert changed()  # a mask without an image
    save(root / "masks" / "alone.png", phantom(10).mask)
    assert changed()
    (root / "images" / "new.png").write_bytes(b"torn")
    assert changed()
    (root / "masks" / "alone.png").unlink()
    assert changed()


def test_bad_images_are_sorted_out_each_with_its_reason(root: Path) -> None:
    save(root / "images" / "good.png", phantom(20).image)
    save(root / "masks" / "good.png", phantom(20).mask)
    torn = save(root / "images" / "torn.png", phantom(21).image)
    torn.write_bytes(torn.read_bytes()[:300])
    save(root / "masks" / "torn.png", phantom(21).mask)
    save(root / "images" / "empty.png", phantom(22).image)
    save(root / "masks" / "empty.png", np.zeros_like(phantom(22).mask))
    save(root / "images" / "small.png", phantom(23).image)
    save(root / "masks" / "small.png", phantom(23).mask[:32])
    save(root / "images" / "bare.png", phantom(24).image)
    save(root / "masks" / "orphan.png", phantom(25).mask)
    save(root / "images" / "twice.png", phantom(26).image)
    save(root / "images" / "twice.jpg", phantom(26).image)
    save(root / "masks" / "twice.png", phantom(26).mask)

    found = sorted_out(root)

    reasons = {
        "torn": "torn.png: cannot be read",
        "empty": "the vessel mask is empty",
        "small": "expected 64×64",
        "bare": "found no vessel mask",
        "orphan": "orphan.png: found no image with identifier 'orphan'",
        "twice": "found a second file for identifier 'twice'",
    }
    assert found.quarantined.keys() == reasons.keys()
    for id_, reason in reasons.items():
        assert reason in found.quarantined[id_]
    assert found.images == 9
    with pytest.raises(DataError):
        load_settings(settings(root))
    usable = settings(root, exclude=sorted(found.quarantined))
    assert len(load_settings(usable)) == 9
    assert content_hash(usable) != content_hash(settings(root, exclude=[*reasons, "good"]))
    assert sorted_out(root, exclude=sorted(found.quarantined)).quarantined == {}


def test_names_without_the_patterns_identifier(root: Path) -> None:
    save(root / "images" / "1234.png", phantom(9).image)
    pattern = "(?P<id>[a-z])"
    found = sorted_out(root, pattern=pattern)
    assert "finds no `id` in this name" in found.quarantined["1234.png"]
    assert len(load_settings(settings(root, pattern=pattern, exclude=["1234.png"]))) == 8


def test_a_folder_that_is_all_bad_is_not_sorted_out(root: Path) -> None:
    for file in list((root / "images").iterdir())[:4]:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"4 of 8 images are bad, more than 20%.*mounted"):
        sort_out(settings(root), Progress())


def test_a_missing_file_of_a_public_set(tmp_path: Path) -> None:
    root = write_drive(tmp_path)
    drive = DataSettings(name="drive", root=root)
    before = fingerprint(drive)
    (root / "training" / "images" / "25_training.tif").unlink()
    assert fingerprint(drive) != before
    found = sort_out(drive, Progress())
    assert list(found.quarantined) == ["25"] and found.images == 39


def test_phantoms_are_known_by_their_settings() -> None:
    one, other = (DataSettings.model_validate({"phantom": {"seed": s}}) for s in (1, 2))
    assert fingerprint(one) == fingerprint(one) != fingerprint(other)
