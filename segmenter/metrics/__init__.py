"""Segmentation metrics, each once, by its standard definition."""

from vesselforge.data.structure import betti_numbers
from vesselforge.segmenter.metrics.confusion import COUNTS, confusion, from_counts
from vesselforge.segmenter.metrics.intervals import mean_interval
from vesselforge.segmenter.metrics.ranking import best_threshold, ranking
from vesselforge.segmenter.metrics.scores import METRICS, Regions, pooled, score
from vesselforge.segmenter.metrics.sets import REGIONS, Prediction, SetScores, score_set
from vesselforge.segmenter.metrics.topology import cl_dice

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
