"""A trained segmenter on disk: a folder with a description and weights.

A model folder holds `model.json` (one network) or `ensemble.json` (several) and safetensors files.
Both name their members in the same way; one network is an ensemble of one. How several become one
is in `rule`; without it, they are a mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.checkpoints import check_weights, load_strict, load_tensors, save_tensors
from vesselforge.engine.documents import inside, read_valid
from vesselforge.engine.files import write_json
from vesselforge.segmenter.combine import MEAN, Rule
from vesselforge.segmenter.components import ALL, Components
from vesselforge.segmenter.magnification import Magnification, said
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter

DESCRIPTIONS = ("model.json", "ensemble.json")


@dataclass(frozen=True)
class Member:
    """A network of a model folder: registry name, constructor options, weight file; its probability
    is sigmoid(logit / temperature + shift)."""

    network: str
    options: dict[str, Any]
    file: str
    temperature: Annotated[float, Field(gt=1e-3, lt=1e3)] = 1.0
    shift: Annotated[float, Field(gt=-1e3, lt=1e3)] = 0.0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def said(self) -> dict[str, Any]:
        """Its entry in a description."""
        named = {"network": self.network, "options": self.options, "file": self.file}
        return named | calibration_of(self)


@dataclass(frozen=True)
class Description:
    """What model.json or ensemble.json says. magnification: None where the training is not known,
    or its images had no border."""

    members: Annotated[list[Member], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    rule: Rule = MEAN
    components: Components = ALL
    magnification: Magnification | None = None
    parameters: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if len(self.rule.thresholds) not in (0, len(self.members)):
            raise ValueError(
                f"a rule of {len(self.rule.thresholds)} members for {len(self.members)}"
            )


def calibration_of(one: Any) -> dict[str, float]:
    """temperature and shift of a member or a network, by name; empty where none was calibrated."""
    found = {"temperature": one.temperature, "shift": one.shift}
    return {} if found == {"temperature": 1, "shift": 0} else found


def save_model(
    folder: Path,
    members: list[tuple[Member, dict[str, Tensor]]],
    threshold: float,
    rule: Rule = MEAN,
    components: Components = ALL,
    magnification: Magnification | None = None,
) -> None:
    """Write weights, then the description that makes the folder a model."""
    for member, tensors in members:
        (folder / member.file).parent.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / member.file, tensors)
    content = {
        "members": [member.said() for member, _ in members],
        "threshold": threshold,
        "parameters": sum(parameters_of(tensors) for _, tensors in members),
    } | components.said()
    content |= said(magnification)
    content |= {} if rule == MEAN else {"rule": asdict(rule)}
    write_json(folder / DESCRIPTIONS[len(members) > 1], content)


def parameters_of(tensors: dict[str, Tensor]) -> int:
    """How many, as Keras counts them: running statistics too, PyTorch's batch counters not."""
    return sum(t.numel() for name, t in tensors.items() if not name.endswith("batches_tracked"))


def read_description(folder: Path) -> Description:
    """Raises CheckpointError or WorkspaceError, naming the file, when it is no model folder, a
    damaged one, or one that names weights outside."""
    path = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder}: no model here; expected a folder with {' or '.join(DESCRIPTIONS)}, as "
            "`vesselforge segmenter train` writes it"
        )
    expected = "the description of a model: copy it again"
    described = read_valid(path, Description, expected, CheckpointError)
    for member in described.members:
        inside(folder, member.file, path)
    return described


def restore(folder: Path, member: Member) -> Segmenter:
    """The network of a member with its weights, in eval mode on the CPU.

    It is first built without memory: options that ask for a larger network than the weights are
    of, whatever its size, are refused like any others. Raises CheckpointError, naming the file.
    """
    path = folder / member.file
    tensors = load_tensors(path)[0]
    try:
        with torch.device("meta"):
            check_weights(build(member.network, **member.options), tensors, path)
        network = build(member.network, **member.options)
    except (
        ConfigError,
        TypeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        LookupError,
    ) as error:
        raise CheckpointError(
            f"{folder}: no network {member.network} has the options {member.options} "
            f"({' '.join(str(error).split())[:200]}); copy the model's folder again"
        ) from error
    load_strict(network, tensors, path)
    network.temperature, network.shift = member.temperature, member.shift
    return network.eval()
