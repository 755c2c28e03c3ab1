"""Starting from other weights: reading them, adapting them, saying what was done."""
