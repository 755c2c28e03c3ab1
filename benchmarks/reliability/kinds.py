"""What the command line reads: an example of each, its damages, and the verb that reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability import binary as b
from benchmarks.reliability import mutators as m
from benchmarks.reliability.arrangements import FOLDER, Arrangement
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.files import file_sha256, write_json

OUT = ["-o", "out"]
WS = ["--workspace", "ws"]


@dataclass(frozen=True)
class Kind:
    """example: folder of `valid`. files: which may be damaged (a pattern). command: what reads it.
    names: what else than the file's own name may stand for it. reseal: makes sums right again, so
    that the damage itself is met and not the sum that tells of it. arrangements: instead of
    mutators, of the folder that the file is in."""

    name: str
    example: str
    files: str
    mutators: tuple[m.Mutator, ...]
    command: tuple[str, ...]
    names: tuple[str, ...] = ()
    reseal: Callable[[Path], None] | None = None
    arrangements: tuple[Arrangement, ...] = ()


def reseal_artifact(file: Path) -> None:
    """Write the file's new sum into the manifest of its artifact."""
    folder = next(p for p in file.parents if (p / MANIFEST).is_file())
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][file.relative_to(folder).as_posix()] = file_sha256(file)
    write_json(folder / MANIFEST, manifest)


def reseal_checkpoint(file: Path) -> None:
    """Write the file's new sum beside it."""
    file.with_suffix(".sha256").write_text(file_sha256(file))


PREDICT = ("segmenter", "predict", "model", "eye.png", *OUT, "--runtime", "torch")
TRAIN = ("segmenter", "train", "tiny.yaml", *WS)
DRAW = ("generator", "draw", "model", *OUT, "--seeds", "0-1")
CHECKPOINT = "ws/store/segmenter.train/*.partial/checkpoint/step-*.safetensors"
KINDS = (
    Kind("image", "paired", "set/images/*", b.IMAGE, ("data", "check", "set")),
    Kind("mask", "paired", "set/masks/*", b.MASK, ("data", "check", "set")),
    Kind("folder of pairs", "paired", "set/*/*", (), ("data", "check", "set"), ("set",),
         arrangements=FOLDER),
    Kind("image, all channels", "flat", "set/*", b.IMAGE, ("data", "check", "set")),
    Kind("image, gzipped", "paired", "set/images/*.gz", (*m.BYTES, b.gzip_bomb),
         ("data", "check", "set")),
    Kind("image to predict", "model", "eye.png", b.IMAGE, PREDICT),
    Kind("labels.csv", "labels-csv", "set/labels.csv", m.CSV, ("data", "check", "set")),
    Kind("dataset.json", "labels-json", "set/dataset.json", m.JSON, ("data", "check", "set")),
    Kind("zip archive", "zip", "set.zip", b.ZIP, ("data", "unpack", "mine", "set.zip"), ("mine/",)),
    Kind("config of a run", "config", "tiny.yaml", m.YAML,
         ("data", "prepare", "tiny.yaml", *WS), ("data.", "dataset")),
    Kind("config, as text", "config", "tiny.yaml", m.YAML_MISREAD,
         ("data", "prepare", "tiny.yaml", *WS), ("data.",)),
    Kind("config of a study", "study", "tiny.yaml", m.YAML,
         ("compare", "tiny.yaml", "--dry-run", *WS), ("arms.", "data.", "dataset", "generator.")),
    Kind("index.json", "workspace", "ws/store/data.prepare/*/index.json", m.JSON, TRAIN,
         ("data.prepare/", " image "), reseal_artifact),
    Kind("manifest.json", "workspace", "ws/store/data.prepare/*/manifest.json", m.JSON, TRAIN,
         ("data.prepare",)),
    Kind("training checkpoint", "workspace", CHECKPOINT, b.TENSORS, TRAIN, ("checkpoint",),
         reseal_checkpoint),
    Kind("model.json", "model", "model/model.json", m.JSON, PREDICT, ("model/", "model:")),
    Kind("model.safetensors", "model", "model/model.safetensors", b.TENSORS, PREDICT),
    Kind("generator.json", "generator", "model/generator.json", m.JSON, DRAW,
         ("model/", "fov.png")),
    Kind("generator.safetensors", "generator", "model/generator.safetensors", b.TENSORS, DRAW),
    Kind("official .pkl", "official", "*.pkl", m.BYTES,
         ("generator", "import", "network-snapshot-000123.pkl", *OUT)),
    Kind("Keras .h5", "keras", "weights.h5", m.BYTES, ("segmenter", "import", "weights.h5", *OUT)),
    Kind("quoted table", "table", "quoted.csv", m.CSV, ("segmenter", "check-table", "quoted.csv")),
    Kind("run.json", "run", "ws/runs/fake/run.json", m.JSON, ("report", "fake", *WS),
         ("runs/fake", "address")),
    Kind("results.json", "results", "ws/runs/study/results.json", m.JSON,
         ("report", "study", *WS)),
)  # fmt: skip
