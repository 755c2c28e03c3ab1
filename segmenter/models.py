"""A trained segmenter on disk, and as something that predicts.

A model folder holds `model.json` (one network) or `ensemble.json` (several) and safetensors files.
Both name their members in the same way; one network is an ensemble of one. How several become one
is in `rule`; without it, they are a mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.checkpoints import check_shapes, load_strict, load_tensors, save_tensors
from vesselforge.engine.confined import inside
from vesselforge.engine.devices import pick_device
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import write_json
from vesselforge.segmenter.combine import MEAN, Rule, combine, rule_of, spread
from vesselforge.segmenter.components import ALL, Components, components_of, masked
from vesselforge.segmenter.inference.runtimes import (
    COMPONENTS,
    ON_CPU,
    RULE,
    Runtime,
    TorchRuntime,
    start,
    start_exported,
)
from vesselforge.segmenter.inference.tiles import Tiling, Watch, tiled
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.base import Segmenter

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

    @property
    def calibration(self) -> dict[str, float]:
        """temperature and shift by name; empty where nothing was calibrated."""
        found = {"temperature": self.temperature, "shift": self.shift}
        return {} if found == {"temperature": 1, "shift": 0} else found

    def as_json(self) -> dict[str, Any]:
        """What a description says of it."""
        named = {"network": self.network, "options": self.options, "file": self.file}
        return named | self.calibration


MEMBERS = TypeAdapter(list[Member])


def save_model(
    folder: Path,
    members: list[tuple[Member, dict[str, Tensor]]],
    threshold: float,
    description: str,
    rule: Rule = MEAN,
    components: Components = ALL,
) -> None:
    """Write weights, then the description that makes the folder a model."""
    for member, tensors in members:
        (folder / member.file).parent.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / member.file, tensors)
    content = {
        "members": [member.as_json() for member, _ in members],
        "threshold": threshold,
        "parameters": sum(_count(tensors) for _, tensors in members),
    }
    content |= {} if rule == MEAN else {"rule": rule.as_json()}
    content |= {} if components == ALL else {COMPONENTS: components.as_json()}
    write_json(folder / description, content)


def _count(tensors: dict[str, Tensor]) -> int:
    """Parameters as Keras counts them: running statistics too, PyTorch's batch counters not."""
    return sum(t.numel() for name, t in tensors.items() if not name.endswith("batches_tracked"))


def read_members(folder: Path) -> tuple[list[tuple[Member, dict[str, Tensor]]], float]:
    """([(member, tensors)], threshold). Raises CheckpointError when it is no model folder."""
    described = read_description(folder)
    members = [(m, load_tensors(folder / m.file)[0]) for m in described.members]
    return members, described.threshold


@dataclass(frozen=True)
class Description:
    """What model.json or ensemble.json says."""

    members: list[Member]
    threshold: float
    rule: Rule
    components: Components


def read_description(folder: Path) -> Description:
    """Raises CheckpointError or WorkspaceError, naming the file, when it is no model folder, a
    damaged one, or one that names weights outside."""
    path = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder}: no model here; expected a folder with {' or '.join(DESCRIPTIONS)}, as "
            "`vesselforge segmenter train` writes it"
        )
    content = read_object(path, "the description of a model: copy it again", CheckpointError)
    try:
        members = MEMBERS.validate_python(content["members"])
        threshold, rule = float(content["threshold"]), rule_of(content.get("rule"))
        components = components_of(content.get(COMPONENTS))
        if rule.members not in (0, len(members)):
            raise ValueError(f"a rule of {rule.members} members for {len(members)}")
        if not members or not 0 <= threshold <= 1:
            raise ValueError(f"{len(members)} members, threshold {threshold}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("members", *first["loc"])))
        raise CheckpointError(
            f"{path}: damaged model description ({where}: {first['msg']}, found "
            f"{str(first['input'])[:60]})"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: damaged model description ({error})") from error
    for member in members:
        inside(folder, member.file, path)
    return Description(members, threshold, rule, components)


def restore(folder: Path, member: Member, tensors: dict[str, Tensor]) -> Segmenter:
    """The network of a member with its weights, in eval mode on the CPU.

    It is first built without memory: options that ask for a larger network than the weights are
    of, whatever its size, are refused like any others. Raises CheckpointError, naming the file.
    """
    path = folder / member.file
    try:
        with torch.device("meta"):
            check_shapes(build(member.network, **member.options), tensors, path)
        network = build(member.network, **member.options)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise CheckpointError(
            f"{folder}: no network {member.network} has the options {member.options} "
            f"({' '.join(str(error).split())[:200]}); copy the model's folder again"
        ) from error
    load_strict(network, tensors, path)
    network.temperature, network.shift = member.temperature, member.shift
    return network.eval()


class Model:
    """One or several trained networks, and how a mask is made of their probability: the threshold
    and the rule of components that were chosen on images of the development.

    networks: the networks themselves; none in a model that was read from an exported file.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        threshold: float,
        device: torch.device,
        runtime: Runtime | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 (frozen)
        rule: Rule = MEAN,
        components: Components = ALL,
    ) -> None:
        self.networks = [place(network, device).eval() for network in networks]
        self.threshold = threshold
        self.device = device
        self.rule = rule
        self.components = components
        self.runtime = runtime or TorchRuntime(self.networks, device, each=rule != MEAN)
        self.tiling = tiling
        self._each = None if rule == MEAN else self.runtime  # what gives the members' own maps
        tiling.shared(self.runtime.multiple)  # tiles that are too small are refused here

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | None = None,
        runtime: str | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 (frozen)
    ) -> Model:
        """Read a model folder, or a .onnx or .xml file that was exported from one.

        runtime: a name in `runtimes.RUNTIMES`; None: plain PyTorch for a folder, the file's own
        for a file. Raises CheckpointError naming the file and the tensor, ConfigError for a
        runtime that cannot be.
        """
        if path.is_file():
            exported = start_exported(runtime or "auto", path, device or torch.device("cpu"))
            threshold = float(exported.facts["threshold"])
            rules = exported_rules(path, exported.facts)
            return cls([], threshold, torch.device("cpu"), exported, tiling, *rules)
        described = read_description(path)
        threshold, rule = described.threshold, described.rule
        networks = [
            restore(path, member, load_tensors(path / member.file)[0])
            for member in described.members
        ]
        device = device or pick_device("cpu" if runtime in ON_CPU else "auto")
        started = None if runtime is None else start(runtime, networks, device, rule != MEAN)
        return cls(networks, threshold, device, started, tiling, rule, described.components)

    @property
    def several(self) -> bool:
        """Whether `members` gives more than one map."""
        return len(self.networks) > 1 or self.rule.members > 1

    def predict(
        self, image: NDArray[np.uint8], flips: bool = False, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """Vessel probability [H, W] in [0, 1] of an RGB image [H, W, 3], at its own resolution.

        Several networks: combined by the model's rule. flips: the mean over the image and its
        three mirror images, too, of each member. An image with a side beyond `tiling.side` goes
        through in tiles. watch: told the share that is done after every tile.
        """
        maps = self._maps(self.runtime, image, flips, watch)
        return maps[0] if self.rule == MEAN else combine(self.rule, maps)

    def mask(
        self, prob: NDArray[np.float32], threshold: float | None = None, scale: float = 1.0
    ) -> NDArray[np.bool_]:
        """Where there are vessels, [H, W] bool, in a map of `predict`. threshold: None: its own.
        scale: how many times as large as the map the image was that the network saw."""
        threshold = self.threshold if threshold is None else threshold
        return masked(prob, threshold, self.components, scale)

    def members(
        self, image: NDArray[np.uint8], flips: bool = False, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """The probability map of each member by itself, [n, H, W]; see `predict`.

        Raises ConfigError for a file of which only the mean was exported.
        """
        if self._each is None:
            if not self.networks:
                raise ConfigError(
                    "an exported mean holds no maps of its members; give the folder of the ensemble"
                )
            self._each = self.runtime
            if self.several:
                self._each = start(self.runtime.name, self.networks, self.device, each=True)
        return self._maps(self._each, image, flips, watch)

    def spread(self, image: NDArray[np.uint8], flips: bool = False) -> NDArray[np.float32]:
        """Standard deviation [H, W] of the members' probabilities, in [0, 0.5].

        Raises ConfigError for a single network, which cannot disagree with itself.
        """
        self.check_several()
        return spread(self.members(image, flips))

    def check_several(self) -> None:
        """Raise ConfigError when there is no spread of members to be had."""
        if not self.several:
            raise ConfigError(
                "spread: found a single network or an exported mean, expected the folder of an "
                "ensemble, or of a run"
            )

    def _maps(
        self, runtime: Runtime, image: NDArray[np.uint8], flips: bool, watch: Watch | None
    ) -> NDArray[np.float32]:
        """What the runtime gives, [1 or n, H, W], averaged over mirror images with `flips`."""
        mirrors: list[tuple[int, ...]] = [(), (1,), (0,), (0, 1)] if flips else [()]
        total: NDArray[np.float32] | None = None
        for number, axes in enumerate(mirrors):

            def tell(share: float, before: int = number) -> None:
                if watch is not None:
                    watch((before + share) / len(mirrors))

            maps = tiled(runtime, np.flip(image, axes), runtime.multiple, self.tiling, tell)
            maps = np.flip(maps, tuple(axis + 1 for axis in axes))
            total = maps if total is None else total + maps
        assert total is not None
        return total / np.float32(len(mirrors))


def exported_rules(file: Path, facts: dict[str, str]) -> tuple[Rule, Components]:
    """The rules in an exported file's metadata. Raises CheckpointError for damaged ones."""
    try:
        rule, components = (json.loads(facts.get(name, "null")) for name in (RULE, COMPONENTS))
        return rule_of(rule), components_of(components)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file}: damaged metadata ({error})") from error


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in channels-last layout (a tenth faster on the CPU, too)."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
