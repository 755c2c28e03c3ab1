"""`vesselforge browse`: the images of a run and its networks, to look at and to try.

One server on the loopback, which only reads: nothing of the workspace is changed.
"""
