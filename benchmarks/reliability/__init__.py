"""How the pipeline endures: kills, faults, malformed input, months of runs. Not in the package."""
