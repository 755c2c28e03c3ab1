"""Training of the segmenters: losses, schedule, state, the one loop."""
