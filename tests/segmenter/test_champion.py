"""Champion against challenger on validation images, image by image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from metric_helpers import score
from segmenter_helpers import TINY, StopAfter, artifact, hashes, phantom_set, trained

from vesselforge.configs.settings import CompareSettings
from vesselforge.data.imageset import load_image, read_index
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.evaluate import compare
from vesselforge.segmenter.models import Model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compare")
    images = phantom_set(folder / "images", {"train": 2, "validation": 3, "test": 1})
    return {
        "images": images,
        "champion": trained(folder / "champion", images),
        "challenger": trained(folder / "challenger", images, TINY.model_copy(update={"seed": 1})),
    }


def compared(inputs: dict[str, Path], out: Path, progress: Progress, **settings: object) -> dict:
    out.mkdir()
    artifacts = {name: artifact(path) for name, path in inputs.items()}
    compare(CompareSettings.model_validate(settings), artifacts, out, progress)
    return dict(json.loads((out / "metrics.json").read_text()))


def test_f1_of_each_validation_image_at_the_models_own_threshold(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    found = compared(inputs, tmp_path / "a", Progress())
    records = read_index(inputs["images"], "validation")
    assert found["images"] == len(records) == 3
    for record in records:
        image = load_image(inputs["images"], record)
        for name in ("champion", "challenger"):
            model = Model.load(inputs[name])
            prob = model.predict(image.image)
            expected = score(prob, image.target > 127, image.fov, model.threshold)["f1"]
            assert found["per_image"][record.id][name] == pytest.approx(expected, abs=1e-6)
    scores = [values["champion"] for values in found["per_image"].values()]
    assert found["f1"]["champion"] == pytest.approx(sum(scores) / 3, abs=1e-6)
    header = (tmp_path / "a" / "per_image.csv").read_text().splitlines()[0]
    assert header == "id,challenger,champion"
    compared(inputs, tmp_path / "b", Progress())
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_images_that_one_of_them_was_trained_on_do_not_count(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    known = [record.id for record in read_index(inputs["images"], "validation")]
    some = compared(inputs, tmp_path / "some", Progress(), leave_out=known[:1])
    assert list(some["per_image"]) == known[1:]
    none = compared(inputs, tmp_path / "none", Progress(), leave_out=known)
    assert (none["images"], none["f1"], none["per_image"]) == (0, {}, {})


def test_stops_between_images(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        compared(inputs, tmp_path / "out", StopAfter(2))
    assert not (tmp_path / "out" / "metrics.json").exists()
