"""Pages of runs and studies: one HTML file each that needs nothing but itself.

They are made from run.json, results.json and finished artifacts alone, so they can be written again
at any time, and the same files give the same bytes.
"""
