"""The speed measurements of the segmenters run, and compare equals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import segmenter, segmenter_cases
from benchmarks.plain_unet import DropBlock, PlainUNet
from benchmarks.segmenter_cases import FAST, PLAIN, YARDSTICK
from benchmarks.turns import MIN_ROUNDS, Worker, serve, take_turns
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks import dropblock as ours

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", PLAIN)
def test_the_yardstick_computes_the_same(name: str) -> None:
    network = segmenter_cases.network_of(name)
    x = torch.rand(2, 3, 37, 53)
    found = segmenter_cases.yardstick(name, network)(x)
    torch.testing.assert_close(found, torch.sigmoid(network(x)), rtol=1e-4, atol=1e-5)
    plain = PlainUNet(PLAIN[name])
    assert [p.shape for p in plain.parameters()] == [p.shape for p in build(name).parameters()]


def test_the_yardstick_drops_as_much() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 32, 64, 64)
    blocks = (DropBlock, ours.DropBlock)
    shares = [float((block(0.18).train()(x) == 0).float().mean()) for block in blocks]
    assert shares[0] == pytest.approx(shares[1], rel=0.1) and 0.1 < shares[0] < 0.18


def test_ways_take_turns() -> None:
    order: list[str] = []
    clocks = iter([9.0, 9.0, 4.0, 2.0, 3.0, 1.0])  # the first round does not count

    def way(name: str) -> float:
        order.append(name)
        return next(clocks)

    rows = take_turns({"a": lambda: way("a"), "b": lambda: way("b")}, 0)
    assert "".join(order) == "ab" * (1 + MIN_ROUNDS)
    assert [(row["least"], row["median"], row["ratio"]) for row in rows] == [
        (3, 3.5, 1),
        (1, 1.5, 3),
    ]


def test_a_worker_has_an_environment_of_its_own(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "helper.py").write_text(
        "import os, sys, json\n"
        "print(json.dumps([os.environ['COLOUR'] + json.loads(sys.argv[1])['x']]), flush=True)\n"
        "for line in sys.stdin:\n    print(len(line), flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker("helper", {"x": "!"}, {"COLOUR": "red"})
    assert worker.ways()["red!"]() == 5.0
    worker.close()
    monkeypatch.setattr("sys.stdin", ["nap\n"])
    serve({"nap": lambda: time.sleep(0.01)})
    names, seconds = capsys.readouterr().out.splitlines()
    assert json.loads(names) == ["nap"] and float(seconds) >= 0.01


class Inside:
    """A Worker without a process."""

    def __init__(self, module, spec, environment) -> None:
        spec = dict(spec)
        held = {}
        del spec["threads"]
        case = spec.pop("case")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segmenter_cases, "serve", held.update)
            segmenter_cases.WORKERS[case](**spec)
        self.held = held

    def ways(self):
        return self.held

    def close(self) -> None:
        pass


def test_a_quick_run(tmp_path: Path, capsys, monkeypatch) -> None:
    """Everything in this process: starting PyTorch anew takes seconds."""
    folder = tmp_path / "mine"
    network = build("sa-unet")
    save_model(folder, [(Member("sa-unet", {}, "m.safetensors"), network.state_dict())], 0.5)
    measured = []

    def measure(case, threads):
        if case.kind == "score":
            return {"images": 20, "metrics": 30, "seconds": 12.34}
        spec = dict(case.spec) | ({"images": 1} if case.kind == "agreement" else {})
        measured.append((case.kind, spec.get("network")))
        return segmenter_cases.CASES[case.kind](**spec)

    monkeypatch.setattr(segmenter_cases, "Worker", Inside)
    monkeypatch.setattr(segmenter, "measure", measure)
    monkeypatch.setattr(segmenter_cases, "graph_of", _missing)
    out = tmp_path / "speed.md"
    segmenter.main(["--quick", "--out", str(out), "--model", str(folder), "--dataset", "phantom"])
    printed = capsys.readouterr()
    assert "left out: not here" in printed.err
    networks = ["sa-unet", "sa-unet-v2"]
    assert measured == [
        *(("inference", name) for name in networks),
        *(("training", name) for name in networks),
        ("agreement", None),
    ]
    text = out.read_text()
    assert text.count("### ") == 6 and all(line in printed.out for line in text.splitlines())
    assert text.count(f"| {YARDSTICK} |") == 3 and text.count(f"| {FAST} |") == 3
    assert "1 s for an image of this size" in text and "12.3 s" in text
    assert "Loading a batch takes " in text


def _missing(*_: object) -> bytes:
    raise segmenter_cases.ConfigError("not here")


def test_an_absent_accelerator_is_said(capsys, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        segmenter.main(["--device", "cuda"])
    assert "finds no CUDA device" in capsys.readouterr().err
    plan = list(segmenter.plan(segmenter.arguments(["--heavy", "--compile"])))
    assert sum(case.kind == "inference" for case in plan) == 4
    assert all(case.spec["compile"] for case in plan if case.kind == "inference")
