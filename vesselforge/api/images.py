"""Images with known vessels: datasets and phantoms."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from vesselforge.api.arguments import checked
from vesselforge.data.datasets import named_dataset
from vesselforge.data.layouts.items import Dataset
from vesselforge.data.phantoms.draw import Phantom, make_phantom


@checked
def load_dataset(
    name: str | PathLike[str],
    root: str | PathLike[str] | None = None,
    *,
    pattern: str | None = None,
    mask_values: Mapping[str, str] | None = None,
) -> Dataset:
    """A dataset: `drive` and others by name, `phantom`, or a folder of images and masks.

    root: of a name, its folder; default: its usual name in $VESSELFORGE_DATA, else ./datasets.
    pattern: for own folders, a regular expression with a group `id`, the same in names of an image,
    its mask and its FOV. mask_values: what values of masks mean, as `data.mask_values` in configs.

    It is a sequence of items with `id`, `split` (train, validation, test) and `masks` (observer →
    file, the reference first). What an item is asked for is read then: `read_image()` [H, W, 3]
    uint8, `read_mask(observer)` [H, W] bool, `read_fov()` [H, W] bool. `split(name)` lists those of
    one split.

    Raises DataError for a folder that is not there or holds nothing of the kind, and for files that
    cannot be matched.

    >>> import vesselforge as vf
    >>> phantoms = vf.load_dataset("phantom")
    >>> item = phantoms.split("test")[0]
    >>> len(phantoms), item.id, list(item.masks), item.read_image().shape
    (28, 'test-0000', ['exact'], (192, 192, 3))
    """
    place = None if root is None else Path(root)
    return named_dataset(str(Path(name)), place, pattern, mask_values=mask_values)


@checked
def phantom(seed: int, size: int = 192, *, randomise: float = 0.0) -> Phantom:
    """A fundus photograph drawn by rules: `image` [size, size, 3] uint8, `mask` [size, size] bool,
    its exact vessels, and `fov` [size, size] bool. The same arguments give the same phantom.

    seed: 0 or more. size: pixels, 32 or more. randomise: in [0, 1], how far colour, contrast, blur,
    zoom and lesions go beyond any one camera. Raises ConfigError for anything else.

    >>> import vesselforge as vf
    >>> eye = vf.phantom(seed=0, size=64)
    >>> eye.image.shape, str(eye.mask.dtype), bool(eye.fov[32, 32])
    ((64, 64, 3), 'bool', True)
    """
    return make_phantom(seed, size, randomise=randomise)
