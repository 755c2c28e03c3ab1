"""What a segmenter's training carries from step to step, and how it is saved and found again."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import FitSettings
from vesselforge.engine.artifacts import SCRATCH
from vesselforge.engine.checkpoints import (
    load_strict,
    load_tensors,
    newest_checkpoint,
    pack_optimizer,
    restoring,
    save_checkpoint,
    unpack_optimizer,
)
from vesselforge.engine.documents import flat
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.model_files import read_description
from vesselforge.segmenter.models import place
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.training.learning_rate import Plateau

WEIGHT_DECAY = 1e-4
"""Of AdamW, in all recipes, U-Net v2's too."""


@dataclass
class FitState:
    """All that a training carries from step to step."""

    network: Segmenter
    optimizer: torch.optim.Optimizer
    average: nn.Module | None
    """Exponential moving average of the weights, if asked for."""
    step: int = 0
    last: dict[str, float] = field(default_factory=dict)
    """Loss and learning rate of the last step, for the log."""
    best: dict[str, float] = field(default_factory=dict)
    """Validation figures of the kept weights so far, with their step."""
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    plateau: Plateau = field(default_factory=Plateau)

    @property
    def judged(self) -> nn.Module:
        """The weights that are validated and kept."""
        return self.average or self.network


def network_options(settings: FitSettings) -> dict[str, Any]:
    """Constructor options that belong to the trained model (where it started from does not)."""
    return {} if settings.drop is None else {"drop": settings.drop}


def new_state(settings: FitSettings, start: Path | None, device: torch.device) -> FitState:
    """The state before the first step. start: a model whose weights to go on from; without, they
    are random, or ImageNet's where those were asked for. Raises CheckpointError for a model that
    does not fit."""
    torch.manual_seed(settings.seed)
    download = {"pretrained": True} if start is None and settings.pretrained != "none" else {}
    network = build(settings.network, **network_options(settings), **download)
    if start is not None:
        members = read_description(start).members
        if len(members) != 1:
            raise CheckpointError(f"{start}: an ensemble cannot be trained on; give one network")
        path = start / members[0].file
        load_strict(network, load_tensors(path)[0], path)
    place(network, device)
    average = copy.deepcopy(network).eval().requires_grad_(False) if settings.ema else None
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=WEIGHT_DECAY)
    else:
        optimizer = torch.optim.Adam(network.parameters(), settings.lr, eps=1e-7)  # as Keras
    return FitState(network, optimizer, average)


def save(state: FitState, out: Path, watched: bool = True) -> None:
    """Write a checkpoint. watched: whether what is logged and validated after its step was."""
    parts = {"network": state.network.state_dict(), "best": state.best_weights}
    if state.average is not None:
        parts["average"] = state.average.state_dict()
    tensors = dict(flat(parts)) | pack_optimizer(state.optimizer, "optimizer")
    extra = {"watched": watched, "last": state.last, "best": state.best}
    extra["plateau"] = asdict(state.plateau)
    save_checkpoint(out / SCRATCH, state.step, tensors, extra)


def resume(state: FitState, settings: FitSettings, out: Path, progress: Progress) -> bool:
    """Go on from the newest whole checkpoint; return whether it was watched, as any new state."""
    found, watched = newest_checkpoint(out / SCRATCH), True
    if found is not None:
        with restoring(out / SCRATCH):
            state.step, tensors, extra = found
            state.network.load_state_dict(_prefixed(tensors, "network"))
            if state.average is not None:
                state.average.load_state_dict(_prefixed(tensors, "average"))
            unpack_optimizer(state.optimizer, tensors, "optimizer")
            state.best, state.best_weights = extra["best"], _prefixed(tensors, "best")
            # Those of before December 2026 were always saved afterwards.
            state.last, watched = extra.get("last", {}), extra.get("watched", True)
            state.plateau = Plateau(**extra["plateau"])
            state.plateau.over = state.plateau.ends(settings)
        progress.message(f"resumed at step {state.step}")
    return watched


def _prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
