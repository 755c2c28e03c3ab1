"""Trained models that come with the package: one folder each, named as a user names the model.

A folder holds `model.json` and `model.safetensors` (a model folder like any other), `README.md`
(the model card for people) and `card.json` (the same for programs, with the SHA-256 of each file).
`vesselforge segmenter publish` makes such folders; nothing here imports anything of ours.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

CARD = "card.json"
LIMIT = 3_000_000
"""Bytes of a folder: what a package may grow by for each model."""
ROOT = Path(__file__).parent


def names(root: Path | None = None) -> list[str]:
    """Names of the models, in alphabetical order. root: another folder of such folders."""
    return sorted(path.parent.name for path in (root or ROOT).glob(f"*/{CARD}"))


def folder(name: str, root: Path | None = None) -> Path:
    """The folder of a model. Raises KeyError for a name that there is not."""
    if name not in names(root):
        raise KeyError(name)
    return (root or ROOT) / name


def card(name: str, root: Path | None = None) -> dict[str, Any]:
    """What the model is, was trained on and scored. Raises ValueError when it is not JSON."""
    content: dict[str, Any] = json.loads((folder(name, root) / CARD).read_text("utf-8"))
    return content


def size(name: str, root: Path | None = None) -> int:
    """Bytes of all files of a model."""
    return sum(path.stat().st_size for path in folder(name, root).iterdir())


def damage(name: str, root: Path | None = None) -> str | None:
    """What is wrong with the files of a model, or None: each is compared with its SHA-256."""
    place = folder(name, root)
    try:
        files = dict(card(name, root)["files"])
    except (ValueError, KeyError, TypeError) as error:
        return f"{place / CARD}: not a readable model card ({error})"
    for file, expected in files.items():
        path = place / file
        if not path.is_file():
            return f"{path}: this file of the model is missing"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            return f"{path}: SHA-256 is {found[:12]}…, expected {expected[:12]}…"
    return None
