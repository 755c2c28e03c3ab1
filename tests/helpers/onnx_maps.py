"""What an exported segmenter gives in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.segmenter.inference.onnx_segmenter import onnx_runner
from vesselforge.segmenter.inference.tiles import as_input


def onnx_map(file: Path, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The vessel probability [H, W] of an RGB image [H, W, 3]."""
    return onnx_runner(file.read_bytes())(as_input(image))[0, 0].numpy()
