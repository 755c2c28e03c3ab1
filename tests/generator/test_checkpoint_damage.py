"""Impossible tensors, strange opcodes, damage and other formats: one clear message each."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
from official_format import (
    Call,
    Persistent,
    dumps,
    storage_bytes,
    tensor_call,
    write_snapshot,
)
from official_networks import (
    G_KWARGS,
    make_generator,
    only_ema,
    refusal,
)
from safetensors.torch import save_file

from vesselforge import generator
from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.checkpoint import load_official

pytestmark = pytest.mark.slow


@pytest.fixture
def write(tmp_path):
    return partial(write_snapshot, tmp_path)


GOOD = storage_bytes(torch.ones(4))
TENSORS = {
    "offset beyond": (tensor_call(GOOD, 3), "beyond its storage of 4"),
    "size beyond": (tensor_call(GOOD, 0, (5,)), "beyond its storage of 4"),
    "stride beyond": (tensor_call(GOOD, 0, (2, 2), (1, 3)), "beyond its storage of 4"),
    "stride 0": (tensor_call(GOOD, 0, (4,), (0,)), "stride of 0"),
    "overlap": (tensor_call(GOOD, 0, (3, 2), (1, 1)), "beyond its storage of 4"),
    "negative stride": (tensor_call(GOOD, 3, (2,), (-1,)), "negative offset, size or stride"),
    "negative offset": (tensor_call(GOOD, -1), "negative offset, size or stride"),
    "huge offset": (tensor_call(GOOD, 2**64), "beyond its storage of 4"),
    "empty": (tensor_call(GOOD, 0, (0, 2**62), (1, 1)), "empty"),
    "nine dimensions": (tensor_call(GOOD, 0, (1,) * 9, (1,) * 9), "9 sizes and 9 strides"),
    "ranks": (tensor_call(GOOD, 0, (2, 1), (1,)), "2 sizes and 1 strides"),
    "boolean size": (tensor_call(GOOD, 0, (True,), (1,)), "negative offset, size or stride"),
    "hooks": (tensor_call(GOOD, 0, (2,), (1,), {"hook": 1}), "hooks or flags"),
    "flags": (tensor_call(GOOD, 0, (2,), (1,), {}, {"neg": True}), "hooks or flags"),
    "short storage": (tensor_call(GOOD[:-1]), "has 15 bytes for 4 elements"),
    "long storage": (tensor_call(GOOD + b"\0"), "has 17 bytes for 4 elements"),
    "two lengths": (tensor_call(GOOD[:-24] + b"\3" + GOOD[-23:]), "two different lengths"),
    "big endian": (tensor_call(GOOD.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")),
                   "little-endian"),
    "magic": (tensor_call(GOOD.replace(b"\x6c\xfc\x9c", b"\x6d\xfc\x9c")), "legacy format"),
    "no storage": (Call(torch._utils._rebuild_parameter, 3, False, {}), "not a plain tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_impossible_tensors_are_refused(write, name):
    value, reason = TENSORS[name]
    assert reason in refusal(write(only_ema(make_generator(), G_KWARGS, extra=value)))


def raw(body):
    """A pickle from opcodes in protocol 4."""
    return b"\x80\x04" + body + b"."


PARAMETER = b"ctorch._utils\n_rebuild_parameter\n"
OPCODES = {
    "BUILD on a function": (raw(PARAMETER + b"}\x8c\x01aK\x01sb"), "by the pickle opcode BUILD"),
    "BUILD on a dict": (raw(b"}}\x8c\x01aK\x01sb"), "change 'dict' by the pickle opcode BUILD"),
    "NEWOBJ of a function": (raw(PARAMETER + b")\x81"), "in a way that official snapshots do not"),
    "call of a value": (raw(b"\x8c\x02os)R"), "calls something that is not a function"),
    "call without a tuple": (raw(PARAMETER + b"]R"), "calls something that is not a function"),
    "INST": (raw(b"(ios\nsystem\n"), "opcode INST (os system)"),
    "OBJ": (raw(b"(" + PARAMETER + b"o"), "opcode OBJ"),
    "EXT1": (raw(b"\x82\x01"), "opcode EXT1"),
    "persistent id": (raw(b"K\x01Q"), "opcode BINPERSID"),
    "out-of-band buffer": (raw(b"\x97"), "opcode NEXT_BUFFER"),
    "global from numbers": (raw(b"K\x01K\x02\x93"), "not named by text"),
    "dotted global": (
        raw(b"\x8c\x05torch\x8c\x18storage._load_from_bytes\x93"),
        "'torch.storage._load_from_bytes'",
    ),
    "dict key": (raw(b"})K\x01s"), "neither text nor integers"),
    "set item": (raw(b"\x8f()\x90"), "neither text nor integers"),
    "append to a dict": (raw(b"}K\x01a"), "aimed at a dict"),
    "item into a list": (raw(b"]K\x00K\x01s"), "aimed at a list"),
    "stack left over": (raw(b"K\x01K\x02"), "untidy stack"),
    "unknown memo": (raw(b"h\x05"), "damaged near byte"),
    "empty stack": (raw(b"R"), "damaged near byte"),
    "unknown opcode": (raw(b"\xff"), "damaged near byte"),
    "trailing bytes": (raw(b"}") + b"x", "goes on after the end"),
    "huge text": (
        b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"x",
        "damaged near byte 11 (MemoryError)",
    ),
    "huge memo": (raw(b"}r\xff\xff\xff\xff"), "without any of the networks"),
    "a number": (raw(b"K\x01"), "without any of the networks"),
    "empty dict": (raw(b"}"), "without any of the networks"),
}


@pytest.mark.parametrize("name", OPCODES)
def test_opcodes_beyond_need_are_refused(write, name):
    data, reason = OPCODES[name]
    assert reason in refusal(write(data))


def test_persistent_id_through_the_pickler(write):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", 1) if value == "here" else None

    stream = io.BytesIO()
    Pickler(stream, 3).dump({"G_ema": "here"})
    assert "opcode BINPERSID" in refusal(write(stream.getvalue()))


def test_other_formats_are_told_apart(write, tmp_path):
    assert "No such file" in refusal(tmp_path / "missing.pkl")
    assert "directory" in refusal(tmp_path)
    assert "the file is empty" in refusal(write(b""))
    assert "not a pickle: it starts with b'hell'" in refusal(write(b"hello, world\n" * 5))
    assert "web page" in refusal(write(b"\n<!DOCTYPE html><html></html>"))
    assert "without any of the networks" in refusal(write((1, 2, 3)))
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(3)}, path)
    assert "found a safetensors file" in refusal(path)
    torch.save({"a": torch.ones(3)}, path)
    assert "zip archive" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "y")
    assert "zip archive" in refusal(path)
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert "torch.save" in refusal(path)


def test_tensorflow_class_is_told_apart(write):
    body = b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    message = refusal(write(body))
    assert "dnnlib.tflib.network.Network" in message
    assert "TensorFlow pickles are not supported yet" in message


def test_every_message_says_what_was_expected(write):
    for content in (b"", b"hello", b"\x80\x04K\x01.", dumps((1, 2, 3)), dumps(Call(print))):
        parts = refusal(write(content)).split("; ")
        assert len(parts) >= 3 and parts[1].startswith("expected an official StyleGAN2-ADA")


def test_a_file_cannot_flood_the_message(write):
    assert len(refusal(write(b"\x80\x04cos\n" + b"x" * 10_000 + b"\n."))) < 1000
    assert "of the wrong type" in refusal(write({"G_ema": Persistent(["x"], {})}))


def test_truncated_files_say_so(write):
    whole = dumps(only_ema(make_generator(), G_KWARGS), 4)
    for length in random.Random(0).sample(range(2, len(whole)), 40):
        message = refusal(write(whole[:length]))
        assert "truncated" in message and f"byte {length}" in message


def test_damage_raises_nothing_else(write):
    """A flipped byte is either harmless or one clear message."""
    whole = dumps(only_ema(make_generator(), G_KWARGS), 4)
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = write(bytes(damaged))
        try:
            load_official(path)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_package_never_unpickles():
    forbidden = ("import pickle\n", "from pickle ", f"weights_only={False}", f"allow_pickle={True}")
    for path in Path(generator.__file__).parent.glob("*.py"):
        assert not any(text in path.read_text() for text in forbidden), path
