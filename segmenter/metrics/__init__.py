"""Segmentation metrics, each once, by its standard definition."""

from data.structure import betti_numbers
from segmenter.metrics.confusion import COUNTS, confusion, from_counts
from segmenter.metrics.intervals import mean_interval
from segmenter.metrics.ranking import best_threshold, ranking
from segmenter.metrics.scores import METRICS, Regions, pooled, score
from segmenter.metrics.sets import REGIONS, Prediction, SetScores, score_set
from segmenter.metrics.topology import cl_dice

__all__ = [
    "COUNTS",
    "METRICS",
    "REGIONS",
    "Prediction",
    "Regions",
    "SetScores",
    "best_threshold",
    "betti_numbers",
    "cl_dice",
    "confusion",
    "from_counts",
    "mean_interval",
    "pooled",
    "ranking",
    "score",
    "score_set",
]
