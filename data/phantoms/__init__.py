"""Phantoms: fundus photographs by procedure, with exact vessel masks.

`draw` makes one, from an `appearance` (generic, or measured on real images by `fit`), a vessel
`tree` and `light`; `stage` fills an image set with them.
"""
