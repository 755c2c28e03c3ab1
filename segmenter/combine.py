"""How the maps of an ensemble's members become one. A rule is data; only this module applies it.

Every rule gives a map in [0, 1], so that it has a ROC curve, and a threshold at which its decision
is the rule's own. The arithmetic is PyTorch's, so that the same lines run on arrays and inside
exported graphs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
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
    weights: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()
    intercept: float = 0.0

    @property
    def members(self) -> int:
        """How many maps it takes; 0 for the mean, which takes any number."""
        return len(getattr(self, NUMBERS[self.method])) if self.method in NUMBERS else 0

    def as_json(self) -> dict[str, Any]:
        """What `rule_of` reads: the method, and the numbers that it needs."""
        content: dict[str, Any] = {"method": self.method}
        if self.method in NUMBERS:
            name = NUMBERS[self.method]
            content[name] = list(getattr(self, name))
        if self.method == "stacked":
            content["intercept"] = self.intercept
        return content


MEAN = Rule()


def rule_of(content: Any) -> Rule:
    """The rule that `Rule.as_json` wrote; None: the mean. Raises ValueError for a damaged one."""
    if content is None:
        return MEAN
    method: Any = content.get("method") if isinstance(content, dict) else content
    if not isinstance(content, dict) or method not in get_args(EnsembleMethod):
        expected = ", ".join(get_args(EnsembleMethod))
        raise ValueError(f"rule: found the method {method!r}, expected one of {expected}")
    if method not in NUMBERS:
        return Rule(method)
    name = NUMBERS[method]
    numbers = tuple(float(value) for value in content[name])
    intercept = float(content["intercept"]) if method == "stacked" else 0.0
    if not numbers or not all(map(math.isfinite, (*numbers, intercept))):
        raise ValueError(f"rule: found {name} {list(numbers)}, expected a number for each member")
    if name == "thresholds" and not all(0 < t < 1 for t in numbers):
        raise ValueError(f"rule: found thresholds {list(numbers)}, expected them between 0 and 1")
    if name == "weights" and (min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-6):
        raise ValueError(f"rule: found weights {list(numbers)}, expected none below 0, their sum 1")
    return Rule(**{"method": method, name: numbers, "intercept": intercept})


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


def spread(probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the members disagree: [n, H, W] → standard deviation [H, W] in [0, 0.5].

    Over the members as they are (divided by n): two that say 0 and 1 give 0.5.
    """
    return np.asarray(probs.std(axis=0), np.float32)
