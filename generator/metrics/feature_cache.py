"""Features of images: extracted in batches, and kept for the next time under what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.engine.checkpoints import load_tensors, save_tensors
from vesselforge.generator.metrics.extractors import device_of, three_channels

FORMAT = 1
"""Raise it whenever other images would be shown, or other features made, under the same key."""


@torch.no_grad()
def extract(images: Iterable[Tensor], extractor: nn.Module, batch: int = 16) -> Tensor:
    """Return float32 features `[N, D]` on the CPU of uint8 images `[C, H, W]`.

    Channels: see `three_channels`. A batch ends where the size of the images changes. Raises
    DataError when there is no image.
    """
    device = device_of(extractor)
    found: list[Tensor] = []
    group: list[Tensor] = []

    def flush() -> None:
        if group:
            features = extractor(torch.stack(group).to(device))
            found.append(features.flatten(1).float().cpu())
            group.clear()

    for image in images:
        if image.dtype != torch.uint8:
            raise TypeError(f"feature extractors take uint8 images, not {image.dtype}")
        shown = three_channels(image)
        if group and (group[-1].shape != shown.shape or len(group) == batch):
            flush()
        group.append(shown)
    flush()
    if not found:
        raise DataError("no images to score")
    return torch.cat(found)


class FeatureCache:
    """Feature sets as files, `<folder>/<hash of the key>.safetensors`; None: nothing is kept.

    The key says all that the features follow from (digest of the image set, which views of it,
    extractor identity), so that a file never grows stale. It is stored beside them with a
    SHA-256, and a file that does not match either is made anew. Files are renamed into place:
    two writers at once both write the same thing. Deleting files costs time, nothing else.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, key: dict[str, Any], make: Callable[[], Tensor]) -> Tensor:
        """Return the features `[N, D]` of this key, read or made now."""
        if self.folder is None:
            return make()
        text = json.dumps({"format": FORMAT, **key}, sort_keys=True, allow_nan=False)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
        found = _read(path, text)
        if found is None:
            found = make().contiguous()
            self.folder.mkdir(parents=True, exist_ok=True)
            save_tensors(path, {"features": found}, {"key": text, "sha256": _sha256(found)})
        return found


def _read(path: Path, key: str) -> Tensor | None:
    """Return what a file holds if it is whole and of this key."""
    if not path.is_file():
        return None
    try:
        tensors, meta = load_tensors(path)
    except CheckpointError:
        return None
    found = tensors.get("features")
    if found is None or meta.get("key") != key or meta.get("sha256") != _sha256(found):
        return None
    return found


def _sha256(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().data).hexdigest()
