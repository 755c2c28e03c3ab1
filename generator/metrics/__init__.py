"""How good generated images are: distances to the real set, coverage, memorisation."""
