"""How a trained network becomes a folder to ship: weights, cards, checksums."""
