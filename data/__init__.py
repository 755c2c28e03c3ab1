"""Datasets, splits, phantom images, augmentation on tensors, and the artifact store."""
