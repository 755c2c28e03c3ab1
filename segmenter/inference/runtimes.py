"""What runs a trained segmenter: PyTorch (as it is, or fast), ONNX Runtime or OpenVINO.

All take images and return probabilities, both on the CPU; several networks are one, the mean of
their probabilities, or each gives a map of its own. The number of threads is PyTorch's
(`torch.set_num_threads`, OMP_NUM_THREADS).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.segmenter.combine import Rule, combined
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.networks.base import Segmenter

RUNTIMES = ("auto", "torch", "fast", "fast-bfloat16", "onnx", "openvino")
ON_CPU = ("fast", "fast-bfloat16", "onnx", "openvino")
"""Those that work on the CPU alone."""
INPUT, OUTPUT, PROGRAM = "image", "vessel_probability", "vesselforge"
MEMBERS, RULE, COMPONENTS = "member_probability", "rule", "components"
"""Names in exported files; MEMBERS and RULE where members are combined otherwise than by their
mean, COMPONENTS where not all pieces of the mask count."""


class Runtime(Protocol):
    """name: what runs. multiple: what the network wants sides to be a multiple of; other sizes are
    allowed, and padded by the network itself."""

    name: str
    multiple: int

    def __call__(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] float32 in [0, 1] → vessel probability [N, 1, H, W] float32; of each of n
        members, [N, n, H, W]."""


class ExportedRuntime(Runtime, Protocol):
    """A runtime that holds an exported model. facts: what its file says about itself."""

    facts: dict[str, str]


def fastest(device: torch.device) -> str:
    """The runtime that `auto` stands for: the fastest that is safe.

    On two cores `fast` beats ONNX Runtime and OpenVINO, needs no other package, and its
    probabilities are PyTorch's to 1e-5 (`fast-bfloat16`: to about 0.01).
    """
    return "fast" if device.type == "cpu" else "torch"


def start(
    name: str, networks: Sequence[nn.Module], device: torch.device, each: bool = False
) -> Runtime:
    """The runtime called `name`, with the networks in it: their mean, or each by itself.

    Raises ConfigError for an unknown name, a missing package, or a device it cannot use.
    """
    if name not in RUNTIMES:
        raise ConfigError(f"runtime: found {name!r}, expected one of {', '.join(RUNTIMES)}")
    name = fastest(device) if name == "auto" else name
    if name == "torch":
        return TorchRuntime(networks, device, each)
    check_device(name, device)
    if name in ("fast", "fast-bfloat16"):
        return FastRuntime(networks, torch.float32 if name == "fast" else torch.bfloat16, each)
    from vesselforge.segmenter.inference.graph import to_onnx

    model = to_onnx(_module(networks, each).to("cpu"), {})
    return OnnxRuntime(model) if name == "onnx" else OpenVinoRuntime(model)


def start_exported(name: str, file: Path, device: torch.device) -> ExportedRuntime:
    """The runtime called `name` (auto: the file's own) with a file of `segmenter export` in it."""
    own = {".onnx": "onnx", ".xml": "openvino"}.get(file.suffix.lower())
    if own is None:
        raise CheckpointError(
            f"{file}: found a file that is no model; expected the folder of a model, or a .onnx "
            "or .xml file of `vesselforge segmenter export`"
        )
    name = own if name == "auto" else name
    if name not in (own, "openvino"):  # OpenVINO reads both formats
        allowed = " or ".join(dict.fromkeys(["auto", own, "openvino"]))
        raise ConfigError(f"{file}: found --runtime {name}, expected {allowed} for such a file")
    check_device(name, device)
    return OnnxRuntime(file) if name == "onnx" else OpenVinoRuntime(file)


def check_device(name: str, device: torch.device) -> None:
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


class MeanProbability(nn.Module):
    """Networks as one: [N, 3, H, W] in [0, 1] → mean of their probabilities [N, 1, H, W]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.multiple = math.lcm(*(int(network.multiple) for network in networks))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        probs = [probability(network, image) for network in self.networks]
        return probs[0] if len(probs) == 1 else torch.stack(probs).mean(0)


class RuledProbability(nn.Module):
    """An ensemble to export: [N, 3, H, W] in [0, 1] → what its rule makes of the probabilities
    [N, 1, H, W], and they themselves [N, n, H, W]."""

    def __init__(self, networks: Sequence[nn.Module], rule: Rule) -> None:
        super().__init__()
        self.each, self.rule = MemberProbabilities(networks), rule
        self.multiple = self.each.multiple

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        each = self.each(image)
        return combined(self.rule, each).unsqueeze(1), each


class MemberProbabilities(nn.Module):
    """[N, 3, H, W] in [0, 1] → the probability of each of n networks [N, n, H, W]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.multiple = math.lcm(*(int(network.multiple) for network in networks))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([probability(network, image) for network in self.networks], dim=1)


def _module(networks: Sequence[nn.Module], each: bool) -> MeanProbability | MemberProbabilities:
    return MemberProbabilities(networks) if each else MeanProbability(networks)


class TorchRuntime:
    """PyTorch, eager: runs the networks themselves, so that it follows them through training."""

    name = "torch"

    def __init__(
        self, networks: Sequence[nn.Module], device: torch.device, each: bool = False
    ) -> None:
        self.module = _module(networks, each)
        self.multiple = self.module.multiple
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        x = images.to(self.device).contiguous(memory_format=torch.channels_last)
        probability: Tensor = self.module(x).cpu()
        return probability


class FastRuntime(TorchRuntime):
    """PyTorch with copies of the networks, made fast on a CPU as they are now.

    From here on the process keeps memory that it frees.
    """

    def __init__(
        self, networks: Sequence[nn.Module], dtype: torch.dtype, each: bool = False
    ) -> None:
        keep_freed_memory()
        quick = []
        for network in networks:
            assert isinstance(network, Segmenter)
            quick.append(fast(network, dtype))
        super().__init__(quick, torch.device("cpu"), each)
        self.name = "fast" if dtype == torch.float32 else "fast-bfloat16"


class OnnxRuntime:
    """ONNX Runtime on the CPU. model: the bytes of an ONNX file, or its path. output: what it
    gives; None: the members' maps where the file has a rule for them, else the vessels'."""

    name = "onnx"

    def __init__(self, model: bytes | Path, output: str | None = None) -> None:
        runtime = required("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; they come back as exceptions, too
        try:
            self.session = runtime.InferenceSession(
                _readable(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own classes, all below Exception
            raise _unreadable(model, error) from error
        self.facts: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        self.multiple = _multiple(self.facts, model)
        self.output = output or (MEMBERS if RULE in self.facts else OUTPUT)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run([self.output], {INPUT: images.numpy()})[0])


class OpenVinoRuntime:
    """OpenVINO on the CPU, in float32. model: the bytes of an ONNX file, or a .onnx or .xml.
    output: as of OnnxRuntime."""

    name = "openvino"

    def __init__(self, model: bytes | Path, output: str | None = None) -> None:
        openvino = required("openvino", "openvino")
        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the CPU has it
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            graph = core.read_model(_readable(model))
            self.facts = openvino_facts(graph)
            self.multiple = _multiple(self.facts, model)
            self.output = output or (MEMBERS if RULE in self.facts else OUTPUT)
            self.compiled = core.compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise _unreadable(model, error) from error

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.compiled({INPUT: images.numpy()})[self.output].copy())


def openvino_facts(graph: Any) -> dict[str, str]:
    """What a model says about itself: `framework` holds an ONNX file's metadata."""
    for place in (PROGRAM, "framework"):
        if graph.has_rt_info([place, "program"]):
            found = graph.get_rt_info([place])
            return {name: str(value) for name, value in dict(found.value).items()}
    return {}


def required(package: str, extra: str) -> Any:
    """The package, imported. Raises ConfigError naming the extra that brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed; pip install 'vesselforge[{extra}]', or give "
            "--runtime torch"
        ) from error


def _readable(model: bytes | Path) -> bytes | str:
    """Raises CheckpointError for a missing file."""
    if isinstance(model, Path) and not model.is_file():
        raise CheckpointError(f"{model}: no such model file")
    return model if isinstance(model, bytes) else str(model)


def _unreadable(model: bytes | Path, error: Exception) -> CheckpointError:
    name = "the converted network" if isinstance(model, bytes) else model
    text = " ".join(str(error).split())[:300]
    return CheckpointError(
        f"{name}: not a whole model file ({text}); copy it again, or write it anew with "
        "`vesselforge segmenter export`"
    )


def _multiple(facts: Mapping[str, str], model: bytes | Path) -> int:
    """Raises CheckpointError for a file that some other program wrote."""
    try:
        if facts.get("program") != PROGRAM:
            raise KeyError("program")
        float(facts["threshold"])
        return int(facts["multiple"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{model if isinstance(model, Path) else 'graph'}: found a model without our metadata "
            f"({error.args[0]}), expected a file of `vesselforge segmenter export`"
        ) from error
