"""The public Python API, one file a subject: a thin front of the rooms, with no logic of its own.

`import vesselforge` has every name of it; what a name needs is loaded when it is used first.
"""
