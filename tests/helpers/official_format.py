"""Writes files in the official StyleGAN2-ADA pickle format, honest and hostile ones, for the tests.

Nothing here comes from the official code: objects reduce to a function of the official name, which
exists, under a module of the official name, only while pickling.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import types
from collections import OrderedDict

import torch

SOURCE = "raise SystemExit('source text of a snapshot was run')\n" * 3


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the official loader's function was called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class EasyDict(dict):
    """Stands for the official dict subclass of nested arguments."""


EasyDict.__module__ = "dnnlib.util"


class Persistent:
    """One object of a snapshot: pickles as the official wrapper of network classes does."""

    def __init__(self, class_name, state, **meta):
        base = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name}
        self.meta = {**base, "state": state, **meta}

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,), None


class Call:
    """Pickles as a call of any function: what a hostile file does."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def persist(module, kwargs=None, args=(), ordered=True, **attributes):
    """Describe a torch module and all its children as the official trainer pickles them.

    `ordered` uses OrderedDict for module tables, as torch 1.x did, instead of plain dict.
    `attributes` are added to, or replace, those of the module itself.
    """
    table = OrderedDict if ordered else dict
    state = {}
    for name, value in vars(module).items():
        if name == "_modules":
            value = {key: child and persist(child, ordered=ordered) for key, child in value.items()}
        state[name] = table(value) if isinstance(value, dict) else value
    state |= {"_init_args": args, "_init_kwargs": kwargs or {}, **attributes}
    return Persistent(type(module).__name__, state)


@contextlib.contextmanager
def official_names():
    """Make the official module names importable while a file is written."""
    fakes = {name: types.ModuleType(name) for name in (
        "torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")}  # fmt: skip
    fakes["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    fakes["dnnlib.util"].EasyDict = EasyDict
    assert not fakes.keys() & sys.modules.keys()
    sys.modules.update(fakes)
    try:
        yield
    finally:
        for name in fakes:
            del sys.modules[name]


def dumps(value, protocol=3):
    """Return the official pickle of a snapshot, or of anything else."""
    with official_names():
        return pickle.dumps(value, protocol=protocol)


def storage_bytes(tensor):
    """Return the legacy torch.save stream of a tensor's storage."""
    stream = io.BytesIO()
    torch.save(tensor._typed_storage(), stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def tensor_call(data, offset=0, size=(2,), stride=(1,), hooks=None, *more):
    """Describe a tensor by its parts, possible or not; `data` is the storage stream."""
    storage = Call(torch.storage._load_from_bytes, data)
    hooks = OrderedDict() if hooks is None else hooks
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, hooks, *more)


def write_snapshot(folder, content, protocol=3):
    """Write bytes, or the official pickle of a value, and return the path."""
    path = folder / "network-snapshot-000123.pkl"
    path.write_bytes(content if isinstance(content, bytes) else dumps(content, protocol))
    return path
