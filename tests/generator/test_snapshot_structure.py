"""The figures of a joint generator's masks beside those of real windows, in every snapshot."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, tiny, write_image_set
from pydantic import TypeAdapter

from vesselforge.data.imageset import ImageRecord, write_index, write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.structure import FIGURES, TreeFigures, tree_figures
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.trained import load_generator
from vesselforge.generator.training.snapshots import CENTRAL, Snapshot, Structure
from vesselforge.generator.training.train import train
from vesselforge.generator.values import as_channel, masks_of, to_network, to_uint8
from vesselforge.generator.views import load_views

REALS = TreeFigures(0.1, 2.5, 1.6, 1.2, 2.2)
STRUCTURE = Structure(TreeFigures(0.05, 2.0, 2.1, 3.0, 0.8), REALS, 0.41)
SCORED = Snapshot(10, 0.1, kid=(0.02, 0.002), diversity=0.8, structure=STRUCTURE)


def masked_set(folder: Path, count: int = 3, side: int = 48) -> Artifact:
    """A prepared set of phantoms with masks, whole images in view."""
    records = []
    for seed in range(count):
        phantom = make_phantom(seed, side)
        write_png(folder / f"{seed}.png", phantom.image)
        write_png(folder / f"{seed}-mask.png", phantom.mask.astype(np.uint8) * 255)
        records.append(ImageRecord(f"{seed}", "train", f"{seed}.png", mask=f"{seed}-mask.png"))
    write_index(folder, "phantoms", records)
    return as_artifact(folder)


class Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path, list[str]]:
    """(prepared set, folder of a joint generator, what its training said)."""
    images = masked_set(tmp_path_factory.mktemp("images"))
    out, progress = tmp_path_factory.mktemp("whole"), Lines()
    train(tiny(channels="rgb+mask"), {"images": images}, out, progress)
    return images, out, progress.lines


def mean_of(masks: np.ndarray) -> dict[str, float]:
    """Means of the figures over masks `[N, H, W]`."""
    found = [tree_figures(mask) for mask in masks]
    return {name: float(np.mean([getattr(one, name) for one in found])) for name in FIGURES}


def test_samples_in_the_range_of_the_real_windows_are_counted() -> None:
    rng = np.random.default_rng(0)
    reals = [TreeFigures(*row) for row in rng.uniform(0, 1, (101, 5)).tolist()]
    inside = TreeFigures(0.5, 0.5, 0.5, 9.0, 9.0)  # ends and branchings are reported alone
    outside = [replace(inside, **{name: 2.0}) for name in ("density", "calibre", "components")]
    found = Structure.of([inside, *outside], reals)
    assert found.in_range == 0.25
    assert found.samples == TreeFigures(0.875, 0.875, 0.875, 9.0, 9.0)
    assert found.reals.ends == pytest.approx(np.mean([one.ends for one in reals]), rel=1e-5)
    own = Structure.of(reals, reals).in_range
    assert 0.9 < own < CENTRAL  # each of three figures leaves 2 % out


def test_a_snapshot_tells_its_structure() -> None:
    words = "pieces 2.1 (real 1.6), ends 3.0 (real 1.2), in range 0.41"
    assert str(SCORED) == f"0.1 kimg: KID 0.02 ± 0.002, diversity 0.80, {words}"
    assert SCORED.logged()["structure"]["samples"]["branchings"] == 0.8
    plain = replace(SCORED, structure=None)
    assert set(plain.scores()) == {"kid_mean", "kid_std", "diversity"}
    assert plain.logged() == plain.scores() and "pieces" not in str(plain)


def test_a_snapshot_survives_json() -> None:
    for taken in (SCORED, replace(SCORED, structure=None), Snapshot(3, 0.03)):
        packed = json.loads(json.dumps(asdict(taken), allow_nan=False))
        assert TypeAdapter(Snapshot).validate_python(packed) == taken


def test_masks_survive_the_channel() -> None:
    mask = make_phantom(3, 48).mask
    channel = as_channel(mask).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(masks_of(to_network(channel, torch.device("cpu")))[0], mask)


def test_a_joint_training_measures_the_masks_of_its_samples(
    trained: tuple[Artifact, Path, list[str]],
) -> None:
    images, out, lines = trained
    description = json.loads((out / "generator.json").read_text())
    assert [s["step"] for s in description["snapshots"]] == [4, 6]
    found = description["delivered"]["structure"]
    # The masks as generator.sample would cut them.
    network, _ = load_generator(out)
    drawn = to_uint8(Sampler(network).draw(range(8))).numpy()[:, -1]
    assert found["samples"] == pytest.approx(mean_of(drawn > 127), rel=1e-5)
    views = load_views(images.path, "patch", 16, "rgb+mask").batch(8, 0, 0)[:, -1] > 127
    assert found["reals"] == pytest.approx(mean_of(views), rel=1e-5)

    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["in_range"] == found["in_range"]
    logged = [entry["structure"] for entry in read_log(out) if "kid_mean" in entry]
    assert logged == [s["structure"] for s in description["snapshots"]]
    told = [line for line in lines if "KID" in line]
    assert len(told) == 2 and all("pieces" in line and "in range" in line for line in told)


def test_a_resumed_joint_training_is_the_same(
    trained: tuple[Artifact, Path, list[str]], tmp_path: Path
) -> None:
    images, whole, _ = trained
    for looks in (4, 1):  # at the first snapshot, and a step later
        with pytest.raises(Interrupted):
            train(tiny(channels="rgb+mask"), {"images": images}, tmp_path, StopAfter(looks))
    train(tiny(channels="rgb+mask"), {"images": images}, tmp_path, Progress())
    assert content(tmp_path) == content(whole)


def test_without_masks_nothing_is_measured(tmp_path: Path) -> None:
    images = write_image_set(tmp_path / "images")
    (tmp_path / "out").mkdir()
    train(tiny(4), {"images": images}, tmp_path / "out", Progress())
    description = json.loads((tmp_path / "out" / "generator.json").read_text())
    assert "structure" not in description["delivered"]
    assert "in_range" not in json.loads((tmp_path / "out" / "metrics.json").read_text())
