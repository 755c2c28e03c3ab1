"""Training checkpoints: one safetensors file each, written aside, renamed; newest whole one wins.

The loop state that is not a tensor travels as JSON in the safetensors header; the file's SHA-256
lies beside it, because safetensors itself does not notice a flipped bit. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.files import file_sha256, write_atomic
from vesselforge.engine.longer import SEAL, remove_checkpoint, saved_steps

KEEP = 2
"""Whole checkpoints kept: the newest, and the one before it should the newest prove damaged."""


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, Tensor],
    state: Any,
    spare: Collection[int] = (),
) -> None:
    """Write `step-XXXXXXXX.safetensors` and its hash; older ones beyond KEEP are removed, but
    those whose step is in `spare`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, step)
    content = _pack(tensors, {"state": json.dumps(state)})
    write_atomic(path, content)
    write_atomic(path.with_suffix(SEAL), hashlib.sha256(content).hexdigest())
    for old in set(saved_steps(folder)[:-KEEP]) - set(spare):
        remove_checkpoint(folder, old)


def newest_checkpoint(folder: Path) -> tuple[int, dict[str, Tensor], Any] | None:
    """(step, tensors, state) of the newest whole checkpoint, or None when there is none. A damaged
    newer one is said in the log; one without its hash was being written when its process died.

    Raises CheckpointError when checkpoints exist and every one of them is damaged.
    """
    steps = saved_steps(folder)
    newest = next((step for step in reversed(steps) if _is_whole(_path(folder, step))), None)
    if steps and newest is None:
        raise CheckpointError(
            f"{folder}: all {len(steps)} training checkpoints are damaged (SHA-256 differs); "
            "delete this folder to start the stage over"
        )
    if newest is None:
        return None
    for damaged in steps[steps.index(newest) + 1 :]:
        logging.getLogger(__name__).warning(
            "%s: damaged (SHA-256 differs); going on from the one before it", _path(folder, damaged)
        )
    return newest, *read_checkpoint(folder, newest)


def read_checkpoint(folder: Path, step: int) -> tuple[dict[str, Tensor], Any]:
    """(tensors, state) of one checkpoint, which has to be there and whole, else CheckpointError."""
    path = _path(folder, step)
    if not _is_whole(path):
        raise CheckpointError(
            f"{path}: this training checkpoint is missing or damaged (SHA-256 differs); "
            f"delete {folder} to start the stage over"
        )
    tensors, meta = load_tensors(path)
    with restoring(folder):
        return tensors, json.loads(meta["state"])


def lighten_checkpoint(folder: Path, step: int, prefix: str) -> None:
    """Write a checkpoint again, whole or not at all, without the tensors of such names."""
    tensors, state = read_checkpoint(folder, step)
    light = {name: t for name, t in tensors.items() if not name.startswith(prefix)}
    path, content = _path(folder, step), _pack(light, {"state": json.dumps(state)})
    seal = path.with_suffix(SEAL)
    before, after = seal.read_text().split()[-1], hashlib.sha256(content).hexdigest()
    write_atomic(seal, f"{before} {after}")  # whichever of the two a kill leaves
    write_atomic(path, content)


def _is_whole(path: Path) -> bool:
    seal = path.with_suffix(SEAL)
    return path.is_file() and seal.is_file() and file_sha256(path) in seal.read_text().split()


@contextlib.contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """While a training takes up what a checkpoint of this folder holds: what does not fit is a
    CheckpointError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: the training checkpoint is whole, but not one of this training "
            f"({' '.join(str(error).split())[:200]}); delete this folder to start the stage over"
        ) from error


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.safetensors"


def save_tensors(
    path: Path, tensors: dict[str, Tensor], meta: dict[str, str] | None = None
) -> None:
    """Atomic safetensors file; tensors are made contiguous and moved to the CPU."""
    write_atomic(path, _pack(tensors, meta))


def _pack(tensors: dict[str, Tensor], meta: dict[str, str] | None) -> bytes:
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save(plain, meta)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, header metadata). Raises CheckpointError naming the file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file")
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return tensors, dict(stream.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); copy it again or train anew"
        ) from error


def load_strict(network: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load all tensors into the network; CheckpointError names the first that does not fit."""
    check_weights(network, tensors, path)
    network.load_state_dict(tensors)


def check_weights(network: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """CheckpointError names the first tensor that does not fit the network, which may lie on the
    device `meta`, or that holds what is no finite number."""
    expected = network.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        where = "missing from the file" if name in expected else "unknown to the network"
        raise CheckpointError(f"{path}: tensor {name} is {where}; is it of another network?")
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {list(tensors[name].shape)}, "
                f"the network expects {list(tensor.shape)}"
            )
        if not tensors[name].isfinite().all():
            raise CheckpointError(
                f"{path}: tensor {name} holds values that are NaN or infinite; the training that "
                "wrote it diverged, or the file was edited: take other weights"
            )


def pack_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The per-parameter state (Adam: step, exp_avg, exp_avg_sq) as named tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], prefix: str
) -> None:
    """Restore what `pack_optimizer` packed into an optimiser over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".", 1)
            state.setdefault(int(index), {})[name] = tensor.clone()
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
