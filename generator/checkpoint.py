"""Reads official StyleGAN2-ADA snapshots (`network-snapshot-*.pkl`), running no code in them.

The official loader executes source text stored in the file. This one lets a small machine
(`safe_pickle`) build inert records, and takes the tensors and constructor arguments out of those.

Licence: weights from NVIDIA's pickles keep NVIDIA's terms, non-commercial research or evaluation
only, whatever the licence of this program. Write `OfficialSnapshot.origin` into every file
converted from one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.official.records import SNAPSHOT_TABLE, TORCH_MAGIC, Node
from vesselforge.generator.official.safe_pickle import Machine, Refused, UnknownGlobal, mentions

EXPECTED = "expected an official StyleGAN2-ADA PyTorch snapshot (network-snapshot-*.pkl)"
CLASSES = {"G": "Generator", "D": "Discriminator", "G_ema": "Generator"}
AGAIN = "copy or download it again"
FOLDER = "a generator of ours needs no import: give its folder, with generator.json in it"
OTHER = "pass the snapshot that the official PyTorch trainer wrote"

REQUIRED = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels"),
}
"""Arguments without a default, in the order of the constructor."""
LAYER = re.compile(r"(synthesis\.)?b\d+\.(conv[01]?|torgb)").fullmatch
"""Whether a module is a layer that clamps."""
SCALARS = (str, int, float, bool, type(None))

# Limits against modules, lists and storages that refer to each other and would multiply without
# end. A 1024² generator has about 100 modules, four deep, and no tensor twice.
MAX_MODULES = MAX_VALUES = 10_000
MAX_DEPTH = 16
MAX_NAME = 100
MAX_TENSOR_BYTES_PER_FILE_BYTE = 4

# What damage can provoke in pickletools, struct, NumPy or the record functions.
DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, MemoryError, AssertionError)


@dataclass(frozen=True)
class Weights:
    """One network: what was passed to its constructor, as plain JSON, and all its parameters and
    buffers, in the order of its state dict; of a snapshot each contiguous and in memory of its own.
    """

    kwargs: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class OfficialSnapshot:
    """What an official pickle holds; a network that the file lacks is None.

    `origin` names the source file, its SHA-256 and the licence: record it in converted files.
    """

    training_set: dict[str, Any] | None
    sha256: str
    origin: str
    G: Weights | None = None
    D: Weights | None = None
    G_ema: Weights | None = None


def load_official(path: Path | str) -> OfficialSnapshot:
    """Read an official PyTorch snapshot; nothing stored in the file is run.

    Raises CheckpointError, naming the file and the reason, for everything else: a missing file,
    another format, a damaged or hostile pickle.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            top = _read(stream)
        return _snapshot(top, path.name, digest, size)
    except Refused as error:
        other = mentions(path, b"SynthesisInput")  # StyleGAN3's class of the network's input
        found = "a StyleGAN3 network, which is not supported" if other else _line(error)
        advice = OTHER if other else error.advice
        raise CheckpointError(f"{path}: {found}; {EXPECTED}; {advice}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{path}: {reason}; {EXPECTED}; check the path") from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: damaged inside ({_line(error)}); {EXPECTED}; {AGAIN}"
        ) from error


def _line(error: Exception) -> str:
    """Return the error's text as one line of bounded length: a file may choose part of it."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _read(stream: BinaryIO) -> Any:
    """Return the top-level value of the pickle; Refused, with the reason, when there is none."""
    head = stream.read(16)
    stream.seek(0)
    if not head:
        raise Refused("the file is empty", AGAIN)
    if head.startswith(b"PK\x03\x04"):
        raise Refused("found a zip archive, perhaps written by torch.save", OTHER)
    if head[8:10] == b'{"':
        raise Refused("found a safetensors file, as ours are", FOLDER)
    if head.lstrip().startswith(b"<"):
        raise Refused("found a web page", "the download failed: download it again")
    try:
        top = Machine(stream, SNAPSHOT_TABLE).run()
    except UnknownGlobal:
        raise
    except DAMAGE as error:
        if not head.startswith(b"\x80"):
            raise Refused(f"not a pickle: it starts with {head[:4]!r}", OTHER) from error
        if isinstance(error, Refused):
            raise
        position = stream.tell()
        if stream.read(1):
            raise Refused(f"damaged near byte {position} ({_line(error)})", AGAIN) from error
        raise Refused(f"truncated: it ends inside its pickle, at byte {position}", AGAIN) from error
    if type(top) is int and top == TORCH_MAGIC:
        raise Refused("found a file written by torch.save", OTHER)
    if stream.read(1):
        raise Refused("it goes on after the end of its pickle")
    return top


def _snapshot(top: Any, name: str, digest: str, size: int) -> OfficialSnapshot:
    if type(top) is not dict or not any(top.get(slot) is not None for slot in ("G", "D", "G_ema")):
        raise Refused("a pickle without any of the networks G, D and G_ema", OTHER)
    modules = {slot: _modules(slot, top[slot]) for slot in CLASSES if top.get(slot) is not None}
    views = {slot: _views(slot, nodes) for slot, nodes in modules.items()}
    total = sum(view.nbytes for found in views.values() for view in found.values())
    if total > MAX_TENSOR_BYTES_PER_FILE_BYTE * size:
        raise Refused(f"its tensors would take {total} bytes, far more than the file has")
    training_set = _plain(top.get("training_set_kwargs"))
    if training_set is not None and type(training_set) is not dict:
        raise Refused("its training_set_kwargs are not a dict")
    own = torch.contiguous_format
    networks = {
        slot: Weights(
            _arguments(nodes), {key: v.clone(memory_format=own) for key, v in views[slot].items()}
        )
        for slot, nodes in modules.items()
    }
    origin = (
        f"official StyleGAN2-ADA pickle {name}, SHA-256 {digest}; weights released by NVIDIA keep "
        "NVIDIA's licence terms: non-commercial research or evaluation only"
    )
    return OfficialSnapshot(training_set, digest, origin, **networks)


def _arguments(nodes: dict[str, Node]) -> dict[str, Any]:
    """Return what the constructor was called with, by name; Refused when a required one lacks, or
    when they are not what the network was built with."""
    node = nodes[""]
    by_position, by_name = node.state.get("_init_args"), node.state.get("_init_kwargs")
    names = REQUIRED[node.class_name]
    if type(by_position) is not tuple or type(by_name) is not dict:
        raise Refused(f"its {node.class_name} does not record its constructor arguments")
    if len(by_position) > len(names) or set(names[: len(by_position)]) & set(by_name):
        raise Refused(f"its {node.class_name} has arguments that fit no official constructor")
    kwargs: dict[str, Any] = _plain({**dict(zip(names, by_position, strict=False)), **by_name})
    for name in names:
        if type(kwargs.get(name)) is not int:
            raise Refused(f"its {node.class_name} lacks the integer argument {name}")
    for name, value in kwargs.items():
        if name.endswith("_kwargs") and type(value) is not dict:
            raise Refused(f"the argument {name} of its {node.class_name} is not a dict")
    _require_agreement(nodes, kwargs)
    return kwargs


def _require_agreement(nodes: dict[str, Node], kwargs: dict[str, Any]) -> None:
    """Refuse a network whose attributes contradict its arguments where no shape would tell: one of
    another trainer with other defaults (StyleGAN3's clamps at 256), or one that was edited."""
    kind = nodes[""].class_name
    options = kwargs.get("synthesis_kwargs", {}) if kind == "Generator" else kwargs
    claims = [(path, "conv_clamp", options.get("conv_clamp")) for path in nodes if LAYER(path)]
    if kind == "Discriminator":
        group = kwargs.get("epilogue_kwargs", {}).get("mbstd_group_size", 4)
        claims.append(("b4.mbstd", "group_size", group))
    for path, name, told in claims:
        found = nodes[path].state.get(name, told) if path in nodes else told
        if type(found) in SCALARS and found != told:
            raise Refused(
                f"{kind}.{path}.{name} is {found!r} in it, but its arguments say {told!r}"
            )


def _plain(value: Any) -> Any:
    """Return nested dicts, lists and scalars as plain JSON values; tuples become lists.

    Raises Refused for anything else, for numbers that JSON lacks and for endless nesting.
    """
    parts = json.JSONEncoder(allow_nan=False).iterencode(value)
    try:
        text = "".join(itertools.islice(parts, MAX_VALUES))
        if next(parts, None) is None:
            return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"its arguments are no plain values ({_line(error)})") from error
    raise Refused("its arguments are nested without end")


def _modules(slot: str, root: Any) -> dict[str, Node]:
    """Return a network's modules by dotted path ("" for itself), in the order of its state dict."""
    if type(root) is not Node or root.class_name != CLASSES[slot]:
        kind = root.class_name if type(root) is Node else type(root).__name__
        raise Refused(f"its {slot} is of class {kind[:MAX_NAME]}, not {CLASSES[slot]}", OTHER)
    found = dict(itertools.islice(_walk("", root, 0), MAX_MODULES + 1))
    if len(found) > MAX_MODULES:
        raise Refused(f"its {slot} has more than {MAX_MODULES} modules")
    if CLASSES[slot] == "Generator" and "synthesis.b4" not in found:
        raise Refused(f"its {slot} has no synthesis.b4: found another kind of generator", OTHER)
    return found


def _walk(path: str, node: Node, depth: int) -> Iterator[tuple[str, Node]]:
    if depth > MAX_DEPTH:
        raise Refused("its modules are nested without end")
    yield path, node
    for name, child in _table(node, "_modules").items():
        if type(child) is Node:
            yield from _walk(f"{path}.{name}" if path else name, child, depth + 1)
        elif child is not None:
            raise Refused(f"the module {name} in it is a {type(child).__name__}")


def _table(node: Node, attribute: str) -> dict[str, Any]:
    table = node.state.get(attribute)
    if type(table) is not dict:
        raise Refused(f"a {node.class_name[:MAX_NAME]} in it has no {attribute}")
    for name in table:
        if type(name) is not str or "." in name or not 0 < len(name) <= MAX_NAME:
            raise Refused(f"a {node.class_name[:MAX_NAME]} in it has a malformed {attribute}")
    return table


def _views(slot: str, modules: dict[str, Node]) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by official state dict key, in official order."""
    views: dict[str, Tensor] = {}
    for path, node in modules.items():
        skipped = node.state.get("_non_persistent_buffers_set", set())  # torch < 1.6 had none
        if type(skipped) is not set:
            raise Refused(f"its {slot} has a malformed _non_persistent_buffers_set")
        tensors = [*_table(node, "_parameters").items()]
        tensors += [pair for pair in _table(node, "_buffers").items() if pair[0] not in skipped]
        for name, view in tensors:
            key = f"{path}.{name}" if path else name
            if view is None:
                continue
            if type(view) is not Tensor or key in views:
                raise Refused(f"its {slot} has a tensor {key} twice, or that is none")
            views[key] = view
    return views
