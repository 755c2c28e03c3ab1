"""Training: the adversarial step, the loop around it, snapshots, health."""
