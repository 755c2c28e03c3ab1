"""The safe reader of official checkpoints: an inert unpickling machine and its records."""
