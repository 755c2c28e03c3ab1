"""Datasets as people lay them out on disk, and whether they are sound."""
