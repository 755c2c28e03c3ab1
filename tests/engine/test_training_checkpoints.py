"""Training checkpoints: the newest whole one wins, and damage is said, not loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine import checkpoints
from vesselforge.engine.checkpoints import (
    KEEP,
    load_strict,
    load_tensors,
    newest_checkpoint,
    pack_optimizer,
    read_checkpoint,
    save_checkpoint,
    save_tensors,
    unpack_optimizer,
)


def save(folder: Path, step: int) -> Path:
    save_checkpoint(
        folder, step, {"w": torch.full((64,), float(step))}, {"step": step, "best": 0.5}
    )
    return folder / f"step-{step:08d}.safetensors"


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_in_tensor(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)


def flip_in_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 4
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [truncate, flip_in_tensor, flip_in_header, empty]


def test_a_spared_checkpoint_outlives_newer_ones(tmp_path: Path) -> None:
    for step in range(1, 6):
        save_checkpoint(tmp_path, step, {"w": torch.full((4,), float(step))}, step, spare=(1, 4))
    assert sorted(p.stem for p in tmp_path.glob("*.sha256")) == [
        f"step-0000000{n}" for n in (1, 4, 5)
    ]
    tensors, state = read_checkpoint(tmp_path, 1)
    assert state == 1
    assert tensors["w"].tolist() == [1.0] * 4
    flip_in_tensor(tmp_path / "step-00000001.safetensors")
    for step in (1, 2):
        with pytest.raises(CheckpointError, match=f"step-0000000{step}.*missing or damaged"):
            read_checkpoint(tmp_path, step)


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "count": torch.tensor(7), "h": torch.randn(5).bfloat16()}
    save_checkpoint(tmp_path, 12, tensors, {"rng": [1, 2], "best": None})
    found = newest_checkpoint(tmp_path)
    assert found is not None
    step, loaded, state = found
    assert step == 12
    assert state == {"rng": [1, 2], "best": None}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_views_and_shared_memory_can_be_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    save_tensors(tmp_path / "a.safetensors", {"t": whole.t(), "row": whole[1], "same": whole})
    loaded, _ = load_tensors(tmp_path / "a.safetensors")
    assert torch.equal(loaded["t"], whole.t())
    assert torch.equal(loaded["row"], whole[1])


def test_nothing_yet(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "absent") is None


def test_newest_wins_and_old_ones_go(tmp_path: Path) -> None:
    for step in (5, 10, 200):
        save(tmp_path, step)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 200
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(tmp_path.glob("*.sha256"))) == KEEP


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_gives_way_to_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 10)
    damage(save(tmp_path, 20))
    found = newest_checkpoint(tmp_path)
    assert "step-00000020.safetensors: damaged" in caplog.text
    assert found is not None
    step, tensors, state = found
    assert step == state["step"] == 10
    assert torch.equal(tensors["w"], torch.full((64,), 10.0))


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_damaged_is_an_error_that_says_what_to_do(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for step in (10, 20):
        save(tmp_path, step)
    for path in tmp_path.glob("*.safetensors"):
        damage(path)
    with pytest.raises(CheckpointError, match=r"all 2 training checkpoints are damaged.*delete"):
        newest_checkpoint(tmp_path)


def test_killed_before_the_seal_was_written(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20).with_suffix(".sha256").unlink()
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 10


def test_killed_before_the_first_seal_starts_over(tmp_path: Path) -> None:
    save(tmp_path, 10).with_suffix(".sha256").unlink()
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"\xff" * 64])
def test_foreign_weight_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors: not a whole safetensors file"):
        load_tensors(path)


def test_missing_weight_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"w\.safetensors: no such weight file"):
        load_tensors(tmp_path / "w.safetensors")


def test_weights_of_another_network(tmp_path: Path) -> None:
    network, path = nn.Linear(3, 2), tmp_path / "w"
    good = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    load_strict(network, good, path)
    assert torch.equal(network.bias, good["bias"])
    bad: list[tuple[dict[str, Tensor], str]] = [
        ({"weight": good["weight"]}, "bias is missing"),
        (good | {"extra": torch.zeros(1)}, "extra is unknown"),
        (good | {"weight": torch.zeros(2, 4)}, r"weight has shape \[2, 4\].*expects \[2, 3\]"),
    ]
    for tensors, message in bad:
        with pytest.raises(CheckpointError, match=message):
            load_strict(network, tensors, path)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_an_optimiser_goes_on_where_it_was(
    tmp_path: Path, kind: Callable[..., torch.optim.Optimizer]
) -> None:
    def train(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = nn.Linear(3, 2)
    start = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    train(whole, kind(whole.parameters(), lr=0.1), 0, 6)

    half = nn.Linear(3, 2)
    half.load_state_dict(start)
    optimizer = kind(half.parameters(), lr=0.1)
    train(half, optimizer, 0, 3)
    save_checkpoint(tmp_path, 3, dict(half.state_dict()) | pack_optimizer(optimizer, "adam"), None)

    found = newest_checkpoint(tmp_path)
    assert found is not None
    tensors = found[1]
    resumed = nn.Linear(3, 2)
    resumed.load_state_dict({name: tensors[name] for name in start})
    optimizer = kind(resumed.parameters(), lr=0.1)
    unpack_optimizer(optimizer, tensors, "adam")
    train(resumed, optimizer, 3, 6)
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_a_checkpoint_is_lightened_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"net.w": torch.ones(3), "adam_g.w": torch.zeros(3)}
    save_checkpoint(tmp_path, 4, tensors, {"a": 1})
    real, written = checkpoints.write_atomic, list[Path]()

    def write(path: Path, content: bytes | str) -> None:
        if written:
            raise KeyboardInterrupt  # a kill between hash and file
        written.append(path)
        real(path, content)

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(checkpoints, "write_atomic", write)
        checkpoints.lighten_checkpoint(tmp_path, 4, "adam_")
    assert read_checkpoint(tmp_path, 4)[0].keys() == tensors.keys()
    checkpoints.lighten_checkpoint(tmp_path, 4, "adam_")
    found, state = read_checkpoint(tmp_path, 4)
    assert found.keys() == {"net.w"} and state == {"a": 1}
