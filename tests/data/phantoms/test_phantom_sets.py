"""The stage: an image set like others, from (seed + i) alone, resumable, blind to other splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.configs.sources import PhantomDrawSettings
from vesselforge.data.imageset import ImageRecord, load_image, load_mask, read_index, write_index
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.data.phantoms.appearance import GENERIC, Appearance
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.phantoms.sets import draw, write_phantom
from vesselforge.engine.artifacts import Artifact, Inputs
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.stages import STAGES

pytestmark = pytest.mark.slow

SMALL = PhantomDrawSettings(appearance="generic", count=3, size=64, seed=5)
STAGE = STAGES["data.phantom"]


class Impatient(Progress):
    """Asks to stop after so many reports."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.left -= 1
        self.stop_requested = self.left <= 0


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(out: Path, settings: PhantomDrawSettings, inputs: Inputs | None = None) -> dict[str, str]:
    out.mkdir()
    draw(settings, inputs or {}, out, Progress())
    return files(out)


def real_images(folder: Path, splits: list[str]) -> Inputs:
    records = []
    for number, split in enumerate(splits):
        made = make_phantom(100 + number, 72)
        write_phantom(folder, f"eye{number}", made)
        names = [f"{part}/eye{number}.png" for part in ("images", "masks", "fov")]
        records.append(ImageRecord(f"eye{number}", split, names[0], mask=names[1], fov=names[2]))
    write_index(folder, "eyes", records)
    return {"images": Artifact(folder, {"kind": "data.prepare", "digest": "0" * 24})}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stage") / "out"
    run(out, SMALL)
    return out


def test_an_image_set_with_hard_masks(made: Path) -> None:
    records = read_index(made)
    assert [record.split for record in records] == [TRAIN] * 3
    for record in records:
        assert record.soft is None
        loaded = load_image(made, record)
        assert loaded.image.shape == (64, 64, 3)
        assert loaded.target is not None
        assert set(np.unique(loaded.target)) == {0, 255}
        assert not (load_mask(made, record) & ~loaded.fov).any()
    assert len({file_sha256(made / record.image) for record in records}) == 3


def test_metrics_and_sheet(made: Path) -> None:
    found = json.loads((made / "metrics.json").read_text())
    assert found == {"count": 3, "size": 64}
    with Image.open(made / "grid.png") as sheet:
        assert sheet.size == (3 * 2 * 64, 64)


def test_the_same_bytes_again(made: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "again", SMALL) == files(made)


def test_image_i_depends_on_seed_plus_i_alone(made: Path, tmp_path: Path) -> None:
    more = run(tmp_path / "more", SMALL.model_copy(update={"count": 5}))
    later = run(tmp_path / "later", SMALL.model_copy(update={"count": 2, "seed": 6}))
    images = {name: digest for name, digest in files(made).items() if "/" in name}
    assert images.items() <= more.items()
    assert {name for name in later if "/" in name} <= set(images)
    assert all(images[name] == digest for name, digest in later.items() if "/" in name)


def test_an_interrupted_drawing_goes_on(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    settings = SMALL.model_copy(update={"count": 6})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Interrupted, match="4 of 6 images"):
        draw(settings, {}, out, Impatient(2))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(before) == 4 * 3
    draw(settings, {}, out, Progress())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(out) == run(tmp_path / "at once", settings)


def test_fitted_reads_training_images_alone(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"appearance": "fitted", "size": None})
    inputs = real_images(tmp_path / "real", [TRAIN, VALIDATION])
    first = run(tmp_path / "first", settings, inputs)
    for part in ("images", "masks", "fov"):
        (tmp_path / "real" / part / "eye1.png").unlink()  # reading it would raise DataError
    assert run(tmp_path / "second", settings, inputs) == first
    appearance = Appearance.model_validate_json((tmp_path / "first/appearance.json").read_text())
    assert len(appearance.looks) == 1
    assert appearance != GENERIC
    with Image.open(tmp_path / "first/images/phantom0000000005.png") as image:
        assert image.size == (72, 72)  # as the real ones


def test_a_finished_measurement_is_kept(tmp_path: Path, monkeypatch) -> None:
    settings = SMALL.model_copy(update={"appearance": "fitted"})
    inputs = real_images(tmp_path / "real", [TRAIN])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Interrupted):
        draw(settings, inputs, out, Impatient(1))
    monkeypatch.setattr("vesselforge.data.phantoms.sets.fit_appearance", None)
    draw(settings, {}, out, Progress())
    assert len(read_index(out)) == 3


def test_fitted_needs_training_images(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"appearance": "fitted"})
    inputs = real_images(tmp_path / "real", [VALIDATION])
    with pytest.raises(DataError, match="found no image to measure"):
        draw(settings, inputs, tmp_path, Progress())


def test_randomised_images_differ(made: Path, tmp_path: Path) -> None:
    other = run(tmp_path / "other", SMALL.model_copy(update={"randomise": 1.0}))
    for name, digest in files(made).items():
        if name.startswith("images/"):
            assert other[name] != digest


def test_through_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    artifact = store.produce(STAGE, SMALL, {}, Progress())
    assert artifact.kind == "data.phantom"
    assert artifact.metrics["count"] == 3
    assert store.produce(STAGE, SMALL, {}, Progress()).path == artifact.path
