"""Segmentation metrics, each once, by its standard definition."""

from segmenter.metrics.scores import (
    COUNTS,
    METRICS,
    best_threshold,
    cl_dice,
    confusion,
    from_counts,
    pooled,
    ranking,
    score,
)

__all__ = [
    "COUNTS",
    "METRICS",
    "best_threshold",
    "cl_dice",
    "confusion",
    "from_counts",
    "pooled",
    "ranking",
    "score",
]
