"""A run with synthetic images, labels, nearest training images, a conditional generator and a model
that is not trained, made in milliseconds; names and reasons in it are hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fake_files import as_csv, as_json, put
from fake_pictures import fundus, png
from small_generators import write_generator

from vesselforge.engine.files import write_json
from vesselforge.engine.store import Store
from vesselforge.generator.values import Channels
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.networks import build

SIZE, COUNT = 32, 30
HOSTILE = "<img src=x onerror=alert(1)>"
REAL = f"21 {HOSTILE}"
HEAD = ["id", "confidence", "vessel_share", "in_range", "kept", "reason"]
CORNER = (40, 24)
"""Where the training image is nearest to sample 3."""


def gallery_run(workspace: Path) -> Path:
    """Returns the run's folder. Every third image is rejected, for one of two reasons."""
    store = Store(workspace)
    real = {"id": REAL, "split": "train", "image": "images/0.png"}
    files = {"images/0.png": png(fundus(0)[0]), "index.json": as_json({"items": [real]})}
    images = put(store, "data.prepare", "development", files, {})
    samples = put(store, "generator.sample", "samples", {}, {})
    inputs = {"samples": samples[1], "images": images[1]}
    labelled = _labelled(store, inputs)
    near = [1, "seed3", 0.25, 1, REAL, *CORNER, 2]
    head = ["rank", "sample", "distance", "suspicious", "image", "y", "x", "turned"]
    closest = {"closest.csv": as_csv(head, [near])}
    score = put(store, "generator.score", "score", closest, {}, inputs)
    generator = ["generator.train", "made"]
    classes = {"classes": ["healthy", HOSTILE], "labels": [[1.0, 0.0], [0.0, 1.0]]}
    write_generator(store.folder(*generator), Channels("rgb+mask", 4), 2, **classes)
    model = ["segmenter.train", "teacher"]
    store.folder(*model).mkdir(parents=True)
    weights = build("sa-unet", width=4).state_dict()
    member = Member("sa-unet", {"width": 4}, "model.safetensors")
    save_model(store.folder(*model), [(member, weights)], 0.4)
    made = {"development images": images, "generator": generator, "samples": samples}
    made |= {"scores": score, f"labels {HOSTILE}": labelled}
    steps = [{"step": s, "kind": kind, "digest": digest} for s, (kind, digest) in made.items()]
    record = {"name": "mine", "status": "completed", "config": {}, "steps": steps}
    record |= {"artifacts": {"teacher": model}}
    record |= {"chosen": {"model": "teacher", "validation_f1": {"teacher": 0.8}}}
    folder = workspace / "runs" / "mine"
    folder.mkdir(parents=True)
    write_json(folder / "run.json", record)
    return folder


def _labelled(store: Store, inputs: dict[str, str]) -> list[str]:
    files: dict[str, bytes] = {}
    items, rows = [], []
    for number in range(COUNT):
        name, id_ = f"{number}.png", f"seed{number}" if number else HOSTILE
        image, mask = (each[:SIZE, :SIZE] for each in fundus(1 + number % 3))
        files |= {f"images/{name}": png(np.roll(image, number)), f"masks/{name}": png(mask * 255)}
        reason = "" if number % 3 else f"confidence {HOSTILE}" if number % 2 else "copies 21"
        item: dict[str, Any] = {"id": id_, "split": "rejected" if reason else "train"}
        items.append(item | {"image": f"images/{name}", "mask": f"masks/{name}"})
        rows.append([id_, "" if number == 7 else number / 100, 0.1, 1, int(not reason), reason])
    files |= {"index.json": as_json({"items": items}), "labels.csv": as_csv(HEAD, rows)}
    return put(store, "segmenter.pseudo-label", "labels", files, {}, inputs)
