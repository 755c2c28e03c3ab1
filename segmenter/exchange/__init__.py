"""Weights of others: Keras files of SA-UNet and SA-UNetv2."""
