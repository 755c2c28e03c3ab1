"""HDF5 files of strangers: what they hold is read whole into memory, or refused in one sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import CheckpointError, ConfigError

MAX_NUMBERS = 2**23
"""Of all tensors read from a file; the family's largest network has 2,161,649."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file, in Keras's layout; `name` is where it lies."""

    name: str
    values: NDArray[Any]


@contextmanager
def opened(path: Path, content: Path | io.BytesIO) -> Iterator[Any]:
    """The HDF5 file, with everything h5py has to say as one CheckpointError."""
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading Keras weights needs h5py; `pip install 'vesselforge[keras]'`"
        ) from error
    try:
        with h5py.File(content, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a whole HDF5 file of Keras ({error}); expected .h5, .weights.h5 or "
            ".keras; copy the file again"
        ) from error


class Source:
    """Tensors of an HDF5 group, as long as they lie in this very file and can be ours by size."""

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root = path, root
        self.numbers = 0

    def tensor(self, name: str) -> Tensor:
        """The tensor called `name`, read into memory. Raises CheckpointError."""
        import h5py

        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            if not isinstance(self.root.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
                raise CheckpointError(
                    f"{self.path}: tensor {name} is listed, but is missing or a link to "
                    "elsewhere; copy the file again"
                )
        dataset = self.root[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise CheckpointError(f"{self.path}: {name} is no tensor stored in this file; refused")
        self.numbers += dataset.size or 0
        if self.numbers > MAX_NUMBERS:  # before unpacking: a few bytes can claim any size
            raise CheckpointError(
                f"{self.path}: more than {MAX_NUMBERS:,} numbers up to tensor {name} of shape "
                f"{list(dataset.shape)}; no network of this family has as many"
            )
        return Tensor(name, np.asarray(dataset[()]))
