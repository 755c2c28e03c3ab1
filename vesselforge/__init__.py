"""VesselForge: synthetic data for small segmentation sets, and the evidence whether it helps.

The rooms are the folders of the project's root; links bring them in here, so that what is installed
has one name and neither hides nor is hidden by a user's own `data.py` or `configs.py`.
"""
