"""How the pipeline endures: kills, faults, malformed input, months of runs.

Not part of the package.
"""
