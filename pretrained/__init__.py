"""Trained networks that come with the package: one folder each, named as a user names it.

A segmenter's folder holds `model.json` and `model.safetensors`; a generator's `generator.json`,
`generator.safetensors` (the weight average, to draw from) and `discriminator.safetensors` (to train
on from there), in half precision. So far it is a folder like any other of its kind. Beside them lie
`README.md` (the card for people, with `samples.png` if there is one) and `card.json` (the same for
programs, with the kind and the SHA-256 of each file). `vesselforge segmenter publish` and
`vesselforge generator publish` make such folders; nothing here imports anything of ours.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

Kind = Literal["segmenter", "generator"]
CARD = "card.json"
LIMITS: dict[Kind, int] = {"segmenter": 3_000_000, "generator": 8_000_000}
"""Bytes of a folder: what a package may grow by for each."""
ROOT = Path(__file__).parent


def names(kind: Kind | None = None) -> list[str]:
    """Names in alphabetical order: of one kind, or of whatever has a card, damaged or not."""
    found = sorted(path.parent.name for path in ROOT.glob(f"*/{CARD}"))
    return [name for name in found if kind is None or kind_of(name) == kind]


def folder(name: str) -> Path:
    """The folder of that name. Raises KeyError for a name that there is not."""
    if name not in names():
        raise KeyError(name)
    return ROOT / name


def card(name: str) -> dict[str, Any]:
    """What it is, was trained on and scored. Raises ValueError when it is not JSON."""
    content: dict[str, Any] = json.loads((folder(name) / CARD).read_text("utf-8"))
    return content


def kind_of(name: str) -> Kind | None:
    """What the card says it is; None when it says nothing of use."""
    try:
        said = card(name)["kind"]
    except (ValueError, KeyError, TypeError):
        return None
    return next((kind for kind in LIMITS if kind == said), None)


def size(name: str) -> int:
    """Bytes of all its files."""
    return sum(path.stat().st_size for path in folder(name).iterdir())


def damage(name: str) -> str | None:
    """What is wrong with its files, or None: each is compared with its SHA-256."""
    place = folder(name)
    try:
        files = dict(card(name)["files"])
    except (ValueError, KeyError, TypeError) as error:
        return f"{place / CARD}: not a readable model card ({error})"
    if kind_of(name) is None:
        return f"{place / CARD}: not a readable model card (kind: expected {' or '.join(LIMITS)})"
    for file, expected in files.items():
        path = place / file
        if not path.is_file():
            return f"{path}: this file of the model is missing"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            return f"{path}: SHA-256 is {found[:12]}…, expected {expected[:12]}…"
    return None
