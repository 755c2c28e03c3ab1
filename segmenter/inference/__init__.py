"""Predicting with trained segmenters: tiles, runtimes, files."""
