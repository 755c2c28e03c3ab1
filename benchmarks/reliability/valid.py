"""One sound and tiny example of everything that the command line reads, a folder each."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from vesselforge.configs.load import load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.data.formats.images import encode_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import closure
from vesselforge.pipeline.record import RECORD
from vesselforge.pipeline.record import STUDY as STUDY_FLOW
from vesselforge.pipeline.run.run_works import run_works
from vesselforge.pipeline.stages import STAGES
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.networks import build

ROOT = Path(__file__).parents[2]
WRITERS = ("tests/helpers",)
"""Where the tests keep what writes files in the formats of others."""
FIT = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1, "validate_every": 2, "checkpoint_every": 1}
CONFIG: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "phantom",
             "phantom": {"train": 3, "validation": 2, "test": 2, "size": 64, "seed": 0}},
    "teacher": FIT | {"network": "sa-unet"},
    "generator": {"resolution": 16, "kimg": 0.064, "batch": 4},
    "sample": {"count": 24}, "pseudo_label": {"min_confidence": 0.5},
    "evaluate": {"bootstrap": 100},
}  # fmt: skip
STUDY: dict[str, Any] = {
    "name": "tiny", "data": CONFIG["data"], "teacher": FIT,
    "arms": {"counts": [0, 2], "orders": ["mixed"], "seeds": [0, 1]},
    "generator": {"presentation": "patch", "resolution": 32, "kimg": 0.016, "batch": 8},
    "synthetic": {"pool": 3},
    "statistics": {"bootstrap": 300}, "execution": {"workers": 2},
}  # fmt: skip
TABLE = "name,se,sp,acc,f1\nSA-UNet,0.8212,0.9840,0.9698,0.8263\nhuman,0.7760,0.9725,0.9473,\n"


def make_all(root: Path) -> None:
    """Write every example below `root`."""
    make_images(root)
    make_models(root)
    make_workspace(root / "workspace")
    with _writers():
        make_foreign(root)
        make_pages(root)


def make_images(root: Path) -> None:
    """`paired`, `flat` with labels, `zip`, and configs."""
    suffixes = (".png", ".tif", ".jpg", ".gif", ".bmp", ".ppm", ".ppm.gz", ".png", ".tif")
    for number, suffix in enumerate(suffixes):
        phantom = make_phantom(number, 64)
        for folder in ("paired/set/images", "flat/set"):
            _write(root / folder / f"{number}{suffix}", phantom.image, deep=number > 6)
        mask = phantom.mask.astype(np.uint8) * 255
        _write(root / "paired/set/masks" / f"{number}.{('png', 'gif', 'tif')[number % 3]}", mask)
    names = sorted(path.name for path in (root / "flat/set").iterdir())
    for kind in ("csv", "json"):
        shutil.copytree(root / "flat", root / f"labels-{kind}")
    lines = [f"{name},{number % 3}" for number, name in enumerate(names)]
    (root / "labels-csv/set/labels.csv").write_text("\n".join(["name,label", *lines]) + "\n")
    labels = {"labels": [[name, number % 3] for number, name in enumerate(names)]}
    (root / "labels-json/set/dataset.json").write_text(json.dumps(labels, indent=1))
    (root / "zip").mkdir()
    with zipfile.ZipFile(root / "zip/set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "paired/set").rglob("*.*")):
            archive.write(path, path.relative_to(root / "paired/set"))
    for folder, config in (("config", CONFIG), ("study", STUDY)):
        (root / folder).mkdir()
        (root / folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    (root / "table").mkdir()
    (root / "table/quoted.csv").write_text(TABLE)


def _write(path: Path, pixels: Any, deep: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if deep:
        path.write_bytes(encode_png(pixels.astype(np.uint16) * 257))
    elif path.suffix == ".gz":
        memory = io.BytesIO()
        Image.fromarray(pixels).save(memory, format="PPM")
        path.write_bytes(gzip.compress(memory.getvalue(), mtime=0))
    else:
        Image.fromarray(pixels).save(path)


def make_models(root: Path) -> None:
    """`model` with an image, and `generator`."""
    torch.manual_seed(0)
    options = {"width": 2}
    network = build("sa-unet", **options)
    member = Member("sa-unet", options, "model.safetensors")
    (root / "model/model").mkdir(parents=True)
    save_model(root / "model/model", [(member, network.state_dict())], 0.5)
    Image.fromarray(make_phantom(0, 64).image).save(root / "model/eye.png")


def make_workspace(folder: Path) -> None:
    """`ws` with prepared phantoms and a teacher that was stopped after two steps, and its config.

    Its newest checkpoint is the only one."""
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    config = load(PipelineConfig, folder / "tiny.yaml")
    store = Store(folder / "ws").open()
    works = run_works(config)
    made: dict[str, Artifact] = {}
    for work in closure([works.teacher()]).values():
        progress = _StopAt(3) if work.kind == "segmenter.train" else Progress()
        inputs = {name: made[needed.digest] for name, needed in work.inputs.items()}
        with suppress(Interrupted):
            made[work.digest] = store.produce(
                STAGES[work.kind], work.settings, inputs, progress, work.outside
            )
    (checkpoints,) = (folder / "ws").glob("store/segmenter.train/*.partial/checkpoint")
    for old in sorted(checkpoints.glob("step-*.safetensors"))[:-1]:
        old.unlink()
        old.with_suffix(".sha256").unlink()


class _StopAt(Progress):
    def __init__(self, times: int) -> None:
        self._left = times

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        self._left -= 1
        return self._left < 0


@contextmanager
def _writers() -> Iterator[None]:
    sys.path[:0] = [str(ROOT / folder) for folder in WRITERS]
    try:
        yield
    finally:
        del sys.path[: len(WRITERS)]


def make_foreign(root: Path) -> None:
    """`generator`, and `official` and `keras` with files of other programs."""
    importlib.import_module("small_generators").write_generator(root / "generator/model")
    networks = importlib.import_module("official_networks")
    (root / "official").mkdir()
    importlib.import_module("official_format").write_snapshot(
        root / "official", networks.make_snapshot()
    )
    keras = importlib.import_module("keras_writer")
    (root / "keras").mkdir()
    model = keras.golden_model("sa-unet")
    keras.keras2_weights(root / "keras/weights.h5", model)


def make_pages(root: Path) -> None:
    """`run` and `results`: what the pages of a run and of a study are made from."""
    fake_run = importlib.import_module("fake_run").FakeRun(root / "run/ws").build()
    assert (fake_run.folder / RECORD).is_file()
    folder = root / "results/ws/runs/study"
    importlib.import_module("fake_study").FakeStudy(folder).build()
    record = json.loads((folder / RECORD).read_text())
    needed: dict[str, Any] = {"config": {}, "artifacts": {}, "steps": [], "status": "completed"}
    write_json(folder / RECORD, needed | record | {"flow": STUDY_FLOW})
