"""Segmentation metrics, each once, by its standard definition."""

from vesselforge.segmenter.metrics.confusion import COUNTS, confusion, from_counts, pooled_f1
from vesselforge.segmenter.metrics.intervals import mean_interval
from vesselforge.segmenter.metrics.probabilities import best_threshold, ranking
from vesselforge.segmenter.metrics.scores import METRICS, Regions, pooled, score
from vesselforge.segmenter.metrics.sets import REGIONS, Prediction, SetScores, score_set

__all__ = [
    "COUNTS",
    "METRICS",
    "REGIONS",
    "Prediction",
    "Regions",
    "SetScores",
    "best_threshold",
    "confusion",
    "from_counts",
    "mean_interval",
    "pooled",
    "pooled_f1",
    "ranking",
    "score",
    "score_set",
]
