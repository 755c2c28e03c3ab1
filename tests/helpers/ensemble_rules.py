"""One rule of each method, for three members."""

from __future__ import annotations

from typing import get_args

from vesselforge.configs.stages.segmenter import EnsembleMethod
from vesselforge.segmenter.combine import MEAN, Rule

METHODS = get_args(EnsembleMethod)
VOTES = {"or": any, "and": all, "majority": lambda votes: 2 * sum(votes) > len(votes)}
RULES = {
    "mean": MEAN,
    "or": Rule("or", thresholds=(0.3, 0.5, 0.62)),
    "and": Rule("and", thresholds=(0.3, 0.5, 0.62)),
    "majority": Rule("majority", thresholds=(0.3, 0.5, 0.62)),
}
