"""Training batches, and random changes of them."""
