"""StyleGAN2-ADA in plain PyTorch: networks, augmentation, losses, training, sampling, metrics."""
