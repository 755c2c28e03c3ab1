"""Hostile snapshots are refused, by name or reason, and nothing in them runs."""

from __future__ import annotations

import io
import os
from functools import partial

import numpy as np
import pytest
import torch
from official_format import (
    Call,
    Persistent,
    dumps,
    persist,
    storage_bytes,
    tensor_call,
    write_snapshot,
)
from official_networks import (
    D_KWARGS,
    G_KWARGS,
    make_discriminator,
    make_generator,
    make_snapshot,
    official,
    only_ema,
    refusal,
)

from vesselforge.generator.checkpoint import load_official


@pytest.fixture
def write(tmp_path):
    return partial(write_snapshot, tmp_path)


class Recursive(Persistent):
    """A module that contains itself, through the pickle memo."""

    def __init__(self):
        state = {"_parameters": {}, "_buffers": {}, "_modules": {}, "_init_args": ()}
        super().__init__("Generator", {**state, "_init_kwargs": {}})


def run_me(canary):
    return Call(os.system, f"touch {canary}")


def storage_with(value, canary):
    """A storage stream whose third pickle, or all of it, is something else."""
    good = storage_bytes(torch.ones(2))
    if value == "code":
        return dumps(run_me(canary), 2)
    if value == "zip":
        stream = io.BytesIO()
        torch.save(run_me(canary), stream)
        return stream.getvalue()
    start = good.index(b"\x80\x02}")
    return good[:start] + dumps(run_me(canary), 2) + good[start:]


def network_around(value):
    """A generator in which one attribute is the given value."""
    return only_ema(make_generator(), G_KWARGS, extra=value)


HOSTILE = {
    "system": (lambda canary: network_around(run_me(canary)), ".system'"),
    "eval": (lambda canary: network_around(Call(eval, f"open({str(canary)!r}, 'w')")), "eval'"),
    "getattr": (lambda canary: network_around(Call(getattr, "", "join")), "builtins.getattr'"),
    "exec source": (lambda canary: network_around(Call(exec, "1")), "builtins.exec'"),
    "torch.load": (lambda canary: network_around(Call(torch.serialization.load, str(canary))),
                   "'torch.serialization.load'"),
    "numpy loads": (lambda canary: network_around(Call(np.load, str(canary))), "numpy.load'"),
    "code in a storage": (
        lambda canary: network_around(tensor_call(storage_with("code", canary))), ".system'"),
    "code in a storage's zip": (
        lambda canary: network_around(tensor_call(storage_with("zip", canary))), "legacy format"),
    "code between a storage's pickles": (
        lambda canary: network_around(tensor_call(storage_with("third", canary))), ".system'"),
}  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 3, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_code_is_named_refused_and_not_run(write, tmp_path, name, protocol):
    canary = tmp_path / "canary"
    build, named = HOSTILE[name]
    # In protocol 0 alone, without a snapshot around it: older opcodes are refused before it.
    value = build(canary) if protocol else run_me(canary)
    message = refusal(write(value, protocol))
    assert (named if protocol else ".system'") in message
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path):
    """The payload of the hostile files works, so that its absence means something."""
    canary = tmp_path / "canary"
    function, arguments = run_me(canary).reduced
    function(*arguments)
    assert canary.exists()


def test_source_text_is_not_run(write, tmp_path):
    canary = tmp_path / "canary"
    network = persist(make_generator(), official(G_KWARGS))
    network.meta["module_src"] = f"open({str(canary)!r}, 'w').close()"
    assert load_official(write({"G_ema": network})).G_ema.tensors
    assert not canary.exists()


def metas(**change):
    network = persist(make_generator(), official(G_KWARGS))
    network.meta.update(change)
    return network


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (metas(payload=1), "lacks exactly the fields"),
        (metas(type="function"), "lacks exactly the fields"),
        (metas(state=[]), "wrong type"),
        (metas(class_name="Trojan"), "its G_ema is of class Trojan, not Generator"),
        ({"weight": 1}, "its G_ema is of class dict, not Generator"),
        (persist(make_discriminator(), official(D_KWARGS)), "class Discriminator, not Generator"),
        (persist(torch.nn.Linear(2, 2)), "class Linear, not Generator"),
    ],
)
def test_malformed_objects_are_refused(write, network, reason):
    assert reason in refusal(write({"G_ema": network}))


def test_stylegan3_network_is_told_apart(write):
    network = make_generator()
    network.synthesis._modules = {"L0_36_8": network.synthesis.b4}
    assert "another kind of generator" in refusal(write(only_ema(network, G_KWARGS)))


@pytest.mark.parametrize("table", ["_parameters", "_buffers", "_modules"])
def test_malformed_tables_are_refused(write, table):
    network = make_generator()
    for content, reason in (([], f"has no {table}"), ({"a.b": None}, "malformed")):
        described = persist(network, official(G_KWARGS), **{table: content})
        assert reason in refusal(write({"G_ema": described}))
    described = persist(network, official(G_KWARGS), **{table: {"a": 3}})
    assert refusal(write({"G_ema": described}))


def test_modules_that_contain_themselves_are_refused(write):
    network = persist(make_generator(), official(G_KWARGS))
    tables = network.meta["state"]["_modules"]
    empty = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    bomb = Persistent("X", dict(empty))
    for _ in range(15):  # 10 to the power of 15 paths in a few hundred bytes
        bomb = Persistent("X", {**empty, "_modules": {str(i): bomb for i in range(10)}})
    tables["bomb"] = bomb
    assert "more than 10000 modules" in refusal(write({"G_ema": network}))
    chain = Persistent("X", dict(empty))
    for _ in range(20):
        chain = Persistent("X", {**empty, "_modules": {"a": chain}})
    tables["bomb"] = chain
    assert "nested without end" in refusal(write({"G_ema": network}))


def test_endless_arguments_are_refused(write):
    bomb = [1]
    for _ in range(12):
        bomb = [bomb] * 10
    assert "nested without end" in refusal(
        write({**make_snapshot(), "training_set_kwargs": {"a": bomb}})
    )
    bomb = []
    bomb.append(bomb)
    assert "Circular reference" in refusal(
        write(only_ema(make_generator(), {**G_KWARGS, "a": bomb}))
    )


def test_one_storage_claimed_a_thousand_times_is_refused(write):
    storage = Call(torch.storage._load_from_bytes, storage_bytes(torch.ones(10_000)))
    tensors = {
        str(i): Call(torch._utils._rebuild_tensor_v2, storage, 0, (10_000,), (1,), False, {})
        for i in range(1000)
    }
    network = persist(make_generator(), official(G_KWARGS), _buffers=tensors)
    assert "far more than the file has" in refusal(write({"G_ema": network}))
