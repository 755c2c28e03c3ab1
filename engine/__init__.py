"""The artifact store, stages, checkpoints, processes and progress: what every room runs on."""
