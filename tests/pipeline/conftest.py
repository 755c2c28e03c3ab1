"""What tests of trained models by name share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_room import furnished

from vesselforge import pretrained
from vesselforge.segmenter.networks import build


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build("sa-unet-v2").state_dict()


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, torch.Tensor]) -> Path:
    """A store with a trained model, its scores, and an empty place for models by name."""
    monkeypatch.setattr(pretrained, "ROOT", tmp_path / "shelf")
    return furnished(tmp_path, weights)
