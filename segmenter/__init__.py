"""Segmentation networks, training, prediction, pseudo-labels, ensembles and metrics."""
