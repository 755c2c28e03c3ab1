"""Segmentation metrics, each once, by its standard definition."""
