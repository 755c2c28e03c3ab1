"""What runs a trained segmenter: PyTorch, as it is or made fast; of an exported file, ONNX Runtime.

All take images and return probabilities, both on the CPU, a map for each network. The number of
threads is PyTorch's (`torch.set_num_threads`, OMP_NUM_THREADS).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.configs.stages.segmenter import Runtime as RuntimeName
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.networks.base import Segmenter

RUNTIMES: tuple[str, ...] = get_args(RuntimeName)
FAST = {"fast": torch.float32, "fast-bfloat16": torch.bfloat16}
"""Those that work on the CPU alone, and what they compute in."""
INPUT, OUTPUT, PROGRAM = "image", "vessel_probability", "vesselforge"
COMPONENTS = "components"
"""Names in exported files; COMPONENTS where not all pieces of the mask count."""


class Runtime(Protocol):
    """name: what runs. multiple: what the network wants sides to be a multiple of; other sizes are
    allowed, and padded by the network itself."""

    name: str
    multiple: int

    def __call__(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] float32 in [0, 1] → vessel probability [N, n, H, W] float32 of each of n
        networks; of an exported file, what is made of them all, [N, 1, H, W]."""


def start(name: str, networks: Sequence[nn.Module], device: torch.device) -> TorchRuntime:
    """The runtime called `name`, with the networks in it.

    auto is the fastest that is safe: on a CPU `fast`, which beats ONNX Runtime on two cores and
    whose probabilities are PyTorch's to 1e-5 (`fast-bfloat16`: to about 0.01). These two run
    copies of the networks as they are now, and from here on the process keeps memory that it frees.
    Raises ConfigError for an unknown name, or a device it cannot use.
    """
    if name not in RUNTIMES:
        raise ConfigError(f"runtime: found {name!r}, expected one of {', '.join(RUNTIMES)}")
    if name == "auto":
        name = "fast" if device.type == "cpu" else "torch"
    if name == "torch":
        return TorchRuntime(networks, device)
    _refuse_cuda(name, device)
    keep_freed_memory()
    quick = [fast(cast(Segmenter, network), FAST[name]) for network in networks]
    runtime = TorchRuntime(quick, device)
    runtime.name = name
    return runtime


def start_exported(name: str, file: Path, device: torch.device) -> OnnxRuntime:
    """ONNX Runtime with a file of `segmenter export` in it. name: `auto`, nothing else fits."""
    if file.suffix.lower() != ".onnx":
        raise CheckpointError(
            f"{file}: found a file that is no model; expected the folder of a model, or a .onnx "
            "file of `vesselforge segmenter export`"
        )
    if name != "auto":
        raise ConfigError(f"{file}: found --runtime {name}, expected auto: it runs in ONNX Runtime")
    _refuse_cuda("onnx", device)
    return OnnxRuntime(file)


def _refuse_cuda(name: str, device: torch.device) -> None:
    """Raise ConfigError when a CUDA device was asked of a runtime that uses the CPU."""
    if device.type != "cpu":
        raise ConfigError(
            f"device: found {device.type} for the runtime {name}, which works on the CPU; "
            "give --device cpu, or --runtime torch"
        )


def probability(network: nn.Module, image: Tensor) -> Tensor:
    """[N, 3, H, W] in [0, 1] → the network's calibrated probability [N, 1, H, W] in float32."""
    logit: Tensor = network(image).float()
    temperature, shift = getattr(network, "temperature", 1.0), getattr(network, "shift", 0.0)
    if (temperature, shift) != (1, 0):  # no steps in a graph that change nothing
        logit = logit / temperature + shift
    return torch.sigmoid(logit)


class Probabilities(nn.Module):
    """[N, 3, H, W] in [0, 1] → the probability of each of n networks [N, n, H, W]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.multiple = math.lcm(*(int(network.multiple) for network in networks))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([probability(network, image) for network in self.networks], dim=1)


class TorchRuntime:
    """PyTorch, eager: runs the networks themselves, so that it follows them through training."""

    name = "torch"

    def __init__(self, networks: Sequence[nn.Module], device: torch.device) -> None:
        self.module = Probabilities(networks)
        self.multiple = self.module.multiple
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        x = images.to(self.device).contiguous(memory_format=torch.channels_last)
        probability: Tensor = self.module(x).cpu()
        return probability


class OnnxRuntime:
    """ONNX Runtime on the CPU. model: the bytes of an ONNX file, or its path. facts: what the file
    says about itself."""

    name = "onnx"

    def __init__(self, model: bytes | Path) -> None:
        runtime = required("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; they come back as exceptions, too
        what = "the converted network" if isinstance(model, bytes) else str(model)
        if isinstance(model, Path) and not model.is_file():
            raise CheckpointError(f"{model}: no such model file")
        try:
            self.session = runtime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's own classes, all below Exception
            raise CheckpointError(
                f"{what}: not a whole model file ({' '.join(str(error).split())[:300]}); copy it "
                "again, or write it anew with `vesselforge segmenter export`"
            ) from error
        self.facts: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        self.multiple = _multiple(self.facts, what)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run([OUTPUT], {INPUT: images.numpy()})[0])


def required(package: str) -> Any:
    """A package of the extra `onnx`, imported. Raises ConfigError naming the extra."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed; pip install 'vesselforge[onnx]', or use the model's "
            "folder, which needs none"
        ) from error


def _multiple(facts: Mapping[str, str], what: str) -> int:
    """Raises CheckpointError for a file that some other program wrote."""
    try:
        if facts.get("program") != PROGRAM:
            raise KeyError("program")
        float(facts["threshold"])
        return int(facts["multiple"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{what}: found a model without our metadata ({error.args[0]}), expected a file of "
            "`vesselforge segmenter export`"
        ) from error
