"""What is measured of the segmenters: `python -m benchmarks.segmenter_cases JSON` runs one case."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.plain_unet import PlainUNet
from benchmarks.turns import Rows, Run, Worker, serve, take_turns
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.sources import CropSource
from vesselforge.data.datasets import named_dataset
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.devices import slow_bfloat16
from vesselforge.engine.processes.child import ENVIRONMENT
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.inference.onnx_segmenter import Combined, graph_of, onnx_runner
from vesselforge.segmenter.inference.tiles import as_input
from vesselforge.segmenter.metrics.confusion import pooled_f1
from vesselforge.segmenter.models import Model, place
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.training.losses import bce

Way = Callable[[Tensor], Tensor]
"""Images [N, 3, H, W] → probabilities [N, 1, H, W]."""
PLAIN = {"sa-unet": False, "sa-unet-v2": True}
"""Networks whose yardstick is written out: is it the second version?"""
CPU = torch.device("cpu")
MODULE = "benchmarks.segmenter_cases"
YARDSTICK = "eager PyTorch, NCHW, float32"
FAST, FAST_LOW = "**fast**", "**fast-bfloat16**"
RATE = 1e-3


def photograph(size: int, seed: int = 0) -> Tensor:
    """[1, 3, size, size]: a phantom fundus."""
    return as_input(make_phantom(seed, size).image)


def network_of(name: str, model: str | None = None) -> Segmenter:
    """The network of a model folder; without one, untrained, its BatchNorm fitted to a phantom."""
    if model is not None:
        network = Model.load(Path(model), CPU).networks[0]
        assert isinstance(network, Segmenter)
        return network.requires_grad_(False)
    torch.manual_seed(0)
    network = build(name)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        network(photograph(128, seed=1))
    return network.eval().requires_grad_(False)


def yardstick(name: str, network: nn.Module) -> Way:
    """The same network and weights in the plainest form there is."""
    plain: nn.Module = PlainUNet(PLAIN[name]) if name in PLAIN else build(name)
    plain.load_state_dict(network.state_dict())
    plain.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return lambda x: torch.sigmoid(plain(x.contiguous()))


def ours(network: Segmenter) -> dict[str, Way]:
    """The runtimes `fast` and, where the CPU has such arithmetic, `fast-bfloat16`."""
    names = {FAST: "fast"} | ({} if slow_bfloat16(CPU) else {FAST_LOW: "fast-bfloat16"})
    return {way: Model([network], 0.5, CPU, name).run for way, name in names.items()}


def others(network: Segmenter, exported: bool, compile: bool) -> dict[str, Way]:
    """Steps on the way to `fast`, and other programs; what is not installed is left out."""
    place(network, CPU)
    ways: dict[str, Way] = {"our network, channels-last": Model([network], 0.5, CPU).run}
    with patch("vesselforge.segmenter.inference.packed.has_onednn", lambda: False):
        ways["and folded, nothing concatenated"] = Model([fast(network)], 0.5, CPU).run
    if compile:
        import torch._inductor.config as inductor

        inductor.freezing = True  # weights are constants: BatchNorm folds
        quick = torch.compile(network)
        ways["torch.compile, frozen"] = lambda x: torch.sigmoid(
            quick(x.contiguous(memory_format=torch.channels_last))
        )
    if exported:
        try:
            model = graph_of(Combined([network]).eval())
            ways["ONNX Runtime, float32"] = onnx_runner(model.SerializeToString())
        except ConfigError as error:
            print(f"left out: {error}", file=sys.stderr)
    return ways


def ways_on_cuda(network: Segmenter) -> dict[str, Way]:
    """Eager float32, and bfloat16 in channels-last layout without and with torch.compile."""
    cuda = torch.device("cuda")
    plain = network.to(cuda)
    laid_out = place(copy.deepcopy(network), cuda)
    quick: Any = torch.compile(laid_out)

    def low(module: Any) -> Way:
        def way(x: Tensor) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                y: Tensor = module(x.contiguous(memory_format=torch.channels_last))
            return torch.sigmoid(y.float())

        return way

    return {
        "eager float32, NCHW": lambda x: torch.sigmoid(plain(x)),
        "bfloat16, channels-last": low(laid_out),
        "bfloat16, channels-last, compiled": low(quick),
    }


@torch.no_grad()
def inference(
    network: str,
    device: str,
    seconds: float,
    size: int,
    exported: bool = True,
    compile: bool = False,
    model: str | None = None,
) -> Rows:
    """Prediction of one image in every way, and how far its probabilities are off.

    `fast` keeps freed memory, and so has a process of its own: the others have the defaults.
    """
    subject, x = network_of(network, model), photograph(size).to(device)
    if device == "cuda":
        ways = ways_on_cuda(subject)
        runs = runs_of(ways, x)
        rows = take_turns(runs, seconds)
    else:
        ways = {YARDSTICK: yardstick(network, subject)} | others(subject, exported, compile)
        threads = torch.get_num_threads()
        spec = {"case": "fast", "threads": threads, "network": network, "size": size}
        worker = Worker(MODULE, spec | {"model": model}, {})
        rows = take_turns(runs_of(ways, x) | worker.ways(), seconds)
        worker.close()
        ways |= ours(subject)
    expected = ways[rows[0]["way"]](x)
    return [
        row | {"difference": float((ways[row["way"]](x) - expected).abs().max())} for row in rows
    ]


def runs_of(ways: dict[str, Way], x: Tensor) -> dict[str, Run]:
    def run(way: Way) -> Run:
        def once() -> None:
            way(x)

        return once

    return {name: run(way) for name, way in ways.items()}


@torch.no_grad()
def serve_fast(network: str, size: int, model: str | None) -> None:
    """Be the worker of `inference`."""
    serve(runs_of(ours(network_of(network, model)), photograph(size)))


def training(network: str, device: str, seconds: float, crop: int, batch: int, side: int) -> Rows:
    """A training step in the plain loop and in ours, which has the environment of stages."""
    spec = {"network": network, "device": device, "crop": crop, "batch": batch, "side": side}
    threads = torch.get_num_threads()
    worker = Worker(MODULE, spec | {"case": "steps", "threads": threads}, ENVIRONMENT)
    one = crops(crop, batch, side).batch_at(0).each(lambda x: x.to(device))
    images, targets = one.image, one.target
    plain = PlainUNet(PLAIN[network]).to(device)
    ways = {f"{YARDSTICK}, max-pool DropBlock": _step(plain, images, targets, low=False)}
    rows = take_turns(ways | worker.ways(), seconds)
    worker.close()
    return rows


def serve_steps(network: str, device: str, crop: int, batch: int, side: int) -> None:
    """Be the worker of `training`: our step, and the loading of a batch."""
    on = torch.device(device)
    source = crops(crop, batch, side)
    one = source.batch_at(0).each(lambda x: x.to(on))
    images, targets = one.image, one.target
    low = not slow_bfloat16(on)
    images = images.contiguous(memory_format=torch.channels_last)
    name = "**ours**, channels-last" + (", bfloat16" if low else "")
    ways = {name: _step(place(build(network), on), images, targets, low)}
    if device == "cuda":
        quick: Any = torch.compile(place(build(network), on))
        ways[name + ", compiled"] = _step(quick, images, targets, low)
    steps = iter(range(1, 1_000_000))

    def loading() -> None:
        source.batch_at(next(steps))

    serve(ways | {"loading a batch": loading})


def _step(network: nn.Module, images: Tensor, targets: Tensor, low: bool) -> Run:
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def step() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
            logits = network(images)
        loss = bce(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def crops(crop: int, batch: int, side: int) -> CropSource:
    """Of phantoms with that side, with the default augmentation."""
    eyes = [make_phantom(seed, side) for seed in range(2)]
    loaded = [
        LoadedImage(str(i), eye.image, eye.mask.astype(np.uint8) * 255, eye.fov, {})
        for i, eye in enumerate(eyes)
    ]
    return CropSource(loaded, crop, batch, 0, AugmentSettings())


@torch.no_grad()
def agreement(model: str, dataset: str, root: str | None, images: int | None = None) -> Rows:
    """What a trained model predicts on test images in every way: largest and mean difference from
    the yardstick, and F1 of all pixels in the field of view at the model's threshold."""
    network, threshold = network_of("", model), Model.load(Path(model), CPU).threshold
    ways = {YARDSTICK: yardstick(name_of(Path(model)), network)}
    ways |= ours(network) | others(network, exported=True, compile=False)
    items = named_dataset(dataset, Path(root) if root else None).split(TEST)[:images]
    truths = [(item.read_mask(next(iter(item.masks))), item.read_fov()) for item in items]
    probs: dict[str, list[NDArray[np.float32]]] = {way: [] for way in ways}
    for item in items:
        x = as_input(item.read_image())
        for way, predict in ways.items():
            probs[way].append(predict(x)[0, 0].numpy())
    masks, fovs = zip(*truths, strict=True)
    exact = _flat(probs[YARDSTICK])
    return [
        {
            "way": way,
            "images": len(items),
            "largest": float(np.abs(_flat(maps) - exact).max()),
            "mean": float(np.abs(_flat(maps) - exact).mean()),
            "f1": pooled_f1([prob >= threshold for prob in maps], masks, fovs),
        }
        for way, maps in probs.items()
    ]


def _flat(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([prob.ravel() for prob in maps])


def name_of(folder: Path) -> str:
    """The network of a model folder."""
    members = json.loads((folder / "model.json").read_text())["members"]
    return str(members[0]["network"])


CASES: dict[str, Callable[..., Rows]] = {
    "inference": inference,
    "training": training,
    "agreement": agreement,
}
WORKERS: dict[str, Callable[..., None]] = {"fast": serve_fast, "steps": serve_steps}


def main(spec: str) -> None:
    """Measure one case and print its rows as one line of JSON, or be a worker."""
    given = json.loads(spec)
    case = given.pop("case")
    torch.set_num_threads(given.pop("threads"))
    if case in WORKERS:
        WORKERS[case](**given)
    else:
        print(json.dumps(CASES[case](**given)))


if __name__ == "__main__":
    main(sys.argv[1])
