"""How the maps of an ensemble's members become one. A rule is data; only this module applies it.

Every rule gives a map in [0, 1], so that it has a ROC curve, and a threshold at which its decision
is the rule's own. The arithmetic is PyTorch's, so that the same lines run on arrays and inside
exported graphs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field
from torch import Tensor

from vesselforge.configs.stages.segmenter import EnsembleMethod

DECISIONS = ("or", "and", "majority")
"""Methods that combine the members' decisions, each at its member's own threshold."""
DECIDED = 0.5
"""Threshold of the methods in DECISIONS: `own_scale` moves every member's threshold here."""
PROB_FLOOR = 1e-6
"""Probabilities are clipped to this before their logit is taken: networks in float32 say 0."""
NUMBERS: dict[str, str] = {
    "weighted": "weights",
    "or": "thresholds",
    "and": "thresholds",
    "majority": "thresholds",
    "stacked": "coefficients",
}
"""Method → the field of Rule with a number for each member."""


@dataclass(frozen=True)
class Rule:
    """One way to combine n maps.

    weights: of `weighted`, at least 0, sum 1. thresholds: of DECISIONS, in (0, 1). coefficients
    and intercept: of `stacked`, sigmoid(Σ coefficient·logit + intercept).
    """

    method: EnsembleMethod = "mean"
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    coefficients: tuple[float, ...] = ()
    intercept: float = 0.0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    @property
    def members(self) -> int:
        """How many maps it takes; 0 for the mean, which takes any number."""
        return len(getattr(self, NUMBERS[self.method])) if self.method in NUMBERS else 0

    def as_json(self) -> dict[str, Any]:
        """What a description says of it: the method, and the numbers that it needs."""
        content = {name: value for name, value in asdict(self).items() if value not in ((), 0)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in content.items()}


MEAN = Rule()


def _complete(rule: Rule) -> Rule:
    """A rule that was read. Raises ValueError where numbers are missing or do not fit."""
    if rule.method in NUMBERS and not rule.members:
        raise ValueError(f"{rule.method} needs {NUMBERS[rule.method]}, a number for each member")
    if rule.method == "weighted" and abs(sum(rule.weights) - 1) > 1e-6:
        raise ValueError(f"found weights {list(rule.weights)}, expected their sum to be 1")
    return rule


ReadRule = Annotated[Rule, AfterValidator(_complete)]
"""A rule as a field of a description."""


def combine(rule: Rule, probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability maps [n, H, W] of the members, in their order → the ensemble's map [H, W]."""
    found = combined(rule, torch.from_numpy(np.ascontiguousarray(probs, np.float32)))
    return np.asarray(found.numpy(), np.float32)


def combined(rule: Rule, probs: Tensor) -> Tensor:
    """`combine` for tensors: [..., n, H, W] → [..., H, W], float32 in [0, 1].

    mean, weighted: linear. or, and, majority: the largest, the smallest, the k-th largest of the
    members on their own scales, k = ⌊n/2⌋ + 1: more than half; where an even number is divided
    equally there is no vessel. stacked: logistic regression on logits (Wolpert 1992).
    """
    if rule.members not in (0, probs.shape[-3]):
        raise ValueError(f"found {probs.shape[-3]} maps for a rule of {rule.members} members")
    if rule.method == "mean":
        return probs.mean(-3)
    numbers = probs.new_tensor(getattr(rule, NUMBERS[rule.method]))[:, None, None]  # [n, 1, 1]
    if rule.method == "weighted":
        return (probs * numbers).sum(-3).clamp(0, 1)
    if rule.method == "stacked":
        logits = torch.logit(probs.clamp(PROB_FLOOR, 1 - PROB_FLOOR))
        return torch.sigmoid((logits * numbers).sum(-3) + rule.intercept)
    own = own_scale(probs, numbers)
    if rule.method == "or":
        return own.amax(-3)
    if rule.method == "and":
        return own.amin(-3)
    return own.topk(rule.members // 2 + 1, dim=-3).values.amin(-3)


def own_scale(probs: Tensor, thresholds: Tensor) -> Tensor:
    """Probabilities, their order kept, with each threshold moved to 1/2: linear on either side.

    At least 1/2 exactly where the probability is at least the threshold.
    """
    above = 0.5 + 0.5 * (probs - thresholds) / (1 - thresholds)
    below = 0.5 * (probs / thresholds)
    return torch.where(probs >= thresholds, above, below)


def standard_deviation(probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the members disagree: [n, H, W] → standard deviation [H, W] in [0, 0.5].

    Over the members as they are (divided by n): two that say 0 and 1 give 0.5.
    """
    return np.asarray(probs.std(axis=0), np.float32)
