"""What stands in for each global of an official StyleGAN2-ADA snapshot: records, views, numbers.

Every function here takes whatever a hostile file may hand it and either returns an inert value or
raises Refused (or TypeError, ValueError, LookupError for values of the wrong shape).
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesselforge.generator.official.safe_pickle import (
    Built,
    Global,
    Machine,
    Refused,
    empty_dict,
    new_set,
)

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of every legacy torch.save stream
TORCH_PROTOCOL = 1001

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
META_KEYS = {"type", "version", "module_src", "class_name", "state"}

STORAGE_TYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

NUMPY_TYPES = ("f8", "f4", "f2", "b1", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")
BYTE_ORDERS = ("<", ">", "|", "=")


@dataclass(frozen=True, slots=True)
class Node:
    """A "persistent" object: its class name and its `__dict__`. Its source text is dropped."""

    class_name: str
    state: dict[str, Any]


def _node(meta: Any) -> Node:
    if type(meta) is not dict or set(meta) != META_KEYS or meta["type"] != "class":
        raise Refused(f"an object in it lacks exactly the fields {sorted(META_KEYS)}")
    name, state = meta["class_name"], meta["state"]
    if type(name) is not str or type(state) is not dict:
        raise Refused("an object in it has a class name or state of the wrong type")
    return Node(name, state)


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> Tensor:
    if type(data) is not Tensor or type(requires_grad) is not bool or hooks:
        raise Refused("a parameter in it is not a plain tensor")
    return data


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, meta: Any = None
) -> Tensor:
    """Return a strided window into a storage, checked to lie inside it."""
    numbers = (offset, *size, *stride)
    if type(storage) is not Tensor or any(type(n) is not int or n < 0 for n in numbers):
        raise Refused("a tensor in it has no storage, or a negative offset, size or stride")
    if type(grad) is not bool or hooks or meta:
        raise Refused("a tensor in it has hooks or flags")
    if len(size) != len(stride) or len(size) > 8:
        raise Refused(f"a tensor in it has {len(size)} sizes and {len(stride)} strides")
    if any(n > 1 and step == 0 for n, step in zip(size, stride, strict=True)):
        raise Refused("a tensor in it has a stride of 0")
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        raise Refused("a tensor in it is empty")
    if max(offset + reach + 1, math.prod(size)) > storage.numel():
        raise Refused(
            f"a tensor of shape {list(size)} in it reaches beyond its storage of {storage.numel()}"
        )
    return storage.as_strided(size, stride, offset)


@dataclass(frozen=True, slots=True)
class StorageLabel:
    """The persistent id of a storage in torch's legacy format."""

    dtype: torch.dtype
    key: str
    count: int


def _storage_id(pid: Any) -> StorageLabel:
    if type(pid) is not tuple or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise Refused("a storage in it is not labelled as one")
    _, kind, key, location, count, _ = pid
    if type(kind) is not Global or (type(key), type(location), type(count)) != (str, str, int):
        raise Refused("a storage in it has a malformed label")
    return StorageLabel(STORAGE_TYPES[kind.name], key, count)


def _storage(data: Any) -> Tensor:
    """Return the elements `[count]` of a legacy torch.save stream of one storage: five pickles, a
    count, the elements."""
    if type(data) is not bytes or not data.startswith(b"\x80\x02"):
        raise Refused("a storage in it is not in torch's legacy format")
    stream = io.BytesIO(data)
    machine = Machine(stream, STORAGE_TYPES, _storage_id)
    magic, protocol, system, label, keys = (machine.run() for _ in range(5))
    if (magic, protocol) != (TORCH_MAGIC, TORCH_PROTOCOL) or system["little_endian"] is not True:
        raise Refused("a storage in it is not in torch's little-endian legacy format")
    if type(label) is not StorageLabel or keys != [label.key]:
        raise Refused("a storage in it does not hold exactly one storage")
    dtype, count = label.dtype, label.count
    start = stream.tell() + 8
    if struct.unpack("<q", data[start - 8 : start]) != (count,):
        raise Refused("a storage in it states two different lengths")
    if (size := len(data) - start) != count * dtype.itemsize:
        raise Refused(f"a storage in it has {size} bytes for {count} elements of {dtype}")
    return torch.frombuffer(bytearray(memoryview(data)[start:]), dtype=dtype)


def _numpy_type(code: Any, align: Any, copy: Any) -> Built:
    if code not in NUMPY_TYPES:
        raise Refused("a NumPy number in it is of a type other than integer, float or bool")
    return Built(code)


def _numpy_scalar(kind: Any, data: Any) -> Any:
    if type(kind) is not Built or type(data) is not bytes:
        raise Refused("a NumPy number in it is malformed")
    if type(kind.state) is not tuple or kind.state[1] not in BYTE_ORDERS:
        raise Refused("a NumPy number in it has no byte order")
    return np.frombuffer(data, kind.state[1] + kind.name).item()


SNAPSHOT_TABLE: dict[str, Any] = {
    PERSISTENT: _node,
    "collections.OrderedDict": empty_dict,
    "dnnlib.util.EasyDict": empty_dict,
    "builtins.set": new_set,
    "__builtin__.set": new_set,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.storage._load_from_bytes": _storage,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.dtype": _numpy_type,
}
"""Every global met in official snapshots, and what stands in for it."""
