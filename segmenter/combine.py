"""How the maps of an ensemble's members become one. A rule is data; only this module applies it.

Every rule gives a map in [0, 1], so that it has a ROC curve, and a threshold at which its decision
is the rule's own. The arithmetic is PyTorch's, so that the same lines run on arrays and inside
exported graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from torch import Tensor

from vesselforge.configs.stages.segmenter import EnsembleMethod

DECIDED = 0.5
"""Threshold of votes: `own_scale` moves every member's threshold here."""


@dataclass(frozen=True)
class Rule:
    """One way to combine n maps: their mean, or a vote (`or`, `and`, `majority`) of the members'
    decisions, each at its own of the `thresholds`, in (0, 1). Raises ValueError for a vote without
    thresholds."""

    method: EnsembleMethod = "mean"
    thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if (self.method == "mean") == bool(self.thresholds):
            raise ValueError("a vote needs thresholds, one for each member; a mean has none")


MEAN = Rule()


def combine(rule: Rule, probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability maps [n, H, W] of the members, in their order → the ensemble's map [H, W]."""
    found = combined(rule, torch.from_numpy(np.ascontiguousarray(probs, np.float32)))
    return np.asarray(found.numpy(), np.float32)


def combined(rule: Rule, probs: Tensor) -> Tensor:
    """`combine` for tensors: [..., n, H, W] → [..., H, W], float32 in [0, 1].

    or, majority, and: the largest, the k-th largest, the smallest of the members on their own
    scales, k = ⌊n/2⌋ + 1: more than half; where an even number is divided equally there is no
    vessel.
    """
    if rule == MEAN:
        return probs.mean(-3)
    members = probs.shape[-3]
    if len(rule.thresholds) != members:
        raise ValueError(f"found {members} maps for a rule of {len(rule.thresholds)} members")
    own = own_scale(probs, probs.new_tensor(rule.thresholds)[:, None, None])
    needed = {"or": 1, "majority": members // 2 + 1, "and": members}[rule.method]
    return own.topk(needed, dim=-3).values.amin(-3)


def own_scale(probs: Tensor, thresholds: Tensor) -> Tensor:
    """Probabilities, their order kept, with each threshold moved to 1/2: linear on either side.

    At least 1/2 exactly where the probability is at least the threshold.
    """
    above = 0.5 + 0.5 * (probs - thresholds) / (1 - thresholds)
    below = 0.5 * (probs / thresholds)
    return torch.where(probs >= thresholds, above, below)
