"""A room with a trained model in a store, its scores, and the way to publish it on a shelf."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main
from vesselforge.configs.settings import FitSettings
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.pipeline.models.publish_segmenter import publish
from vesselforge.segmenter.model_files import Member, save_model


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    write_json(path, content)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["segmenter", *map(str, arguments)])


def spoil_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def furnished(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """The room: a store with a trained model, and its scores."""
    images = tmp_path / "store" / "data.prepare" / "i1"
    images.mkdir(parents=True)
    splits = {"21": "train", "22": "train", "37": "validation"}
    items = [{"id": id_, "split": split, "image": f"{id_}.png"} for id_, split in splits.items()]
    write_json(images / "index.json", {"items": items})
    settings = {"data": {"name": "drive", "root": "/somebody/private"}}
    write_json(images / "manifest.json", {"settings": settings, "inputs": {"dataset": "d1"}})
    model = tmp_path / "store" / "segmenter.train" / "m1"
    model.mkdir(parents=True)
    save_model(model, [(Member("sa-unet-v2", {}, "model.safetensors"), weights)], 0.4)
    manifest = {
        "kind": "segmenter.train",
        "digest": "m1",
        "settings": FitSettings(network="sa-unet-v2", seed=7).model_dump(mode="json"),
        "inputs": {"images": "i1"},
        "metrics": {"validation": {"f1": 0.8123}, "best_step": 900, "steps": 1000},
        "seconds": 90.0,
        "device": "CPU, 2 threads",
        "versions": {"torch": "2.9"},
        "files": {p.name: file_sha256(p) for p in model.iterdir()},
    }
    write_json(model / "manifest.json", manifest)
    pooled = dict.fromkeys(("f1", "se", "sp", "acc", "auc", "mcc"), 0.75) | {"f1": 0.8316}
    mean: dict[str, Any] = {"f1": [0.8311, 0.82, 0.84], "cldice": [None, None, None]}
    region = {"pooled": pooled, "mean": mean}
    scores = {"model": {"threshold": 0.4, "fov": region, "whole": region}}
    scored = {"images": 20, "split": "test", "models": scores}
    write_json(tmp_path / "scores.json", {"drive": scored})
    seen = {"images": 28, "split": "all", "flips": True, "fov_width": 540}
    write_json(tmp_path / "chase.json", {"chase-db1": scored | seen})
    return tmp_path


def published(room: Path, name: str = "tiny") -> Path:
    model = room / "store" / "segmenter.train" / "m1"
    return publish(model, name, [room / "scores.json", room / "chase.json"], room / "shelf")
