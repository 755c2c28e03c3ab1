"""A trained network that is being fitted to other images: its tensors, and the fate of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.generator.networks import Discriminator, Generator

Kwargs = dict[str, Any]
LOADED, ADAPTED, NEW, UNUSED = "loaded", "adapted", "new", "unused"
RANDOM = "random"
SLOPE, GAIN = 0.2, math.sqrt(2)  # of lrelu, the only activation of the published networks


@dataclass
class Draft:
    """A network on its way: constructor arguments, tensors, and what became of each tensor.

    fates: name → (what, how), for tensors that were not simply loaded; unused ones are no longer
    among `tensors`.
    """

    kind: type[Generator] | type[Discriminator]
    kwargs: Kwargs
    tensors: dict[str, Tensor]
    seed: int
    fates: dict[str, tuple[str, str]] = field(default_factory=dict)

    def change(self, name: str, value: Tensor, how: str, what: str = ADAPTED) -> None:
        """Set a tensor; what was done to it before stays in the note."""
        before = self.fates.get(name)
        if before is not None and what == ADAPTED:
            what, how = before[0], f"{before[1]}; {how}"
        self.tensors[name] = value.contiguous()
        self.fates[name] = (what, how)

    def drop(self, name: str, how: str) -> None:
        """Leave a tensor of the file unused; one that an adapter had made just goes."""
        del self.tensors[name]
        if self.fates.get(name, ("", ""))[0] == NEW:
            del self.fates[name]
        else:
            self.fates[name] = (UNUSED, how)

    def fresh(self, **changes: Any) -> dict[str, Tensor]:
        """Take over changed arguments; return the tensors of a random network that has them.

        The same seed gives the same ones, so that G and its average get equal new tensors.
        """
        self.kwargs = {**self.kwargs, **changes}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.network().state_dict()

    def network(self) -> nn.Module:
        """Build a network of the present arguments."""
        return self.kind(**self.kwargs)

    @property
    def architecture(self) -> str:
        if self.kind is Generator:
            return str(self.kwargs.get("synthesis_kwargs", {}).get("architecture", "skip"))
        return str(self.kwargs.get("architecture", "resnet"))
