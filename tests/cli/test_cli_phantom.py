"""`data phantom` as it is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_paired
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms import fitted
from vesselforge.data.phantoms.appearance import GENERIC, Look


def test_phantoms_are_like_images_whose_masks_have_further_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_paired(tmp_path / "eyes", "abcd")
    for number, name in enumerate("abcd"):
        drawn = phantom(number).mask.astype(np.uint8)
        drawn[:, :8] = 2  # unsure
        save(root / f"masks/{name}.png", drawn)
    seen: list[LoadedImage] = []

    def fit(images: list[LoadedImage]) -> Look:
        seen.extend(images)
        return GENERIC

    monkeypatch.setattr(fitted, "fit_appearance", fit)
    words = ["data", "phantom", str(tmp_path / "out"), "--like", str(root), "--set", "size=64"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2 and "--mask-values" in refused.stderr and not seen
    told = "{0: background, 1: vessel, 2: ignore}"
    made = CliRunner().invoke(main, [*words, "--mask-values", told])
    assert made.exit_code == 0, made.stderr
    assert seen and not any(image.reference[:, :8].any() for image in seen)
    assert any(image.reference.any() for image in seen)
    assert len(list((tmp_path / "out" / "images").iterdir())) > 0


def test_phantoms_are_not_mixed_with_what_is_there(tmp_path: Path) -> None:
    out = tmp_path / "eyes"

    def typed(train: int) -> Result:
        counts = [f"train={train}", "validation=1", "test=1", "size=64"]
        options = [word for count in counts for word in ("--set", count)]
        return CliRunner().invoke(main, ["data", "phantom", str(out), *options])

    assert typed(2).exit_code == 0
    first = (out / "images" / "train-0000.png").read_bytes()
    assert typed(2).exit_code == 0 and typed(3).exit_code == 0
    fewer = typed(1)
    assert fewer.exit_code == 2
    assert "phantoms to write, expected a new folder" in fewer.stderr
    assert (out / "images" / "train-0000.png").read_bytes() == first
