"""Feature extractors: networks that map uint8 images `[N, C, H, W]` to features `[N, D]`.

`random` needs neither a download nor a teacher; `inception` is the published standard of FID and
KID. Networks want three channels, images have any number:
grey is repeated, of two channels the first is, and of more than three the first three are taken
(RGB of RGB + mask), so that a mask channel is judged by its own means, not by these.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.engine.files import file_sha256
from vesselforge.generator.metrics.download import inception_file
from vesselforge.generator.metrics.torchscript import load_script, unusable

Features = Literal["random", "inception"]
TRIAL = 64
"""Side in pixels of the black image with which Inception is tried."""


class Extractor(nn.Module, ABC):
    """uint8 `[N, C, H, W]` to float32 `[N, num_features]`.

    identity: names weights and arithmetic; equal identities give equal features.
    """

    num_features: int
    identity: str

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8:
            raise TypeError(f"feature extractors take uint8 images, not {images.dtype}")
        with torch.no_grad():
            return self.features(three_channels(images))

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Map uint8 `[N, 3, H, W]` to `[N, num_features]`."""


class RandomFeatures(Extractor):
    """An untrained VGG: random 3×3 convolutions know no ImageNet, so they favour no domain.

    Naeem et al. 2020 (section 4.2) show that such embeddings rank generators sensibly where images
    look nothing like ImageNet's. Four blocks of two convolutions, each block at half the resolution
    of the one before; mean and standard deviation of every channel over space, and the deepest
    means on a 2×2 grid, which sees where things are. Works from 16 pixels up; 64² takes about
    2 ms on one core. The weights come from NumPy's frozen `RandomState`: the same everywhere.

    A fundus patch is nearly one colour, so plain means would measure little else. Three quarters
    of the first filters therefore sum to zero, and all figures are taken as logarithms, in which
    a contrast that halves counts the same whether it was strong or faint.
    """

    CHANNELS = (16, 32, 64, 96)
    SEED = 20200214
    GRID = 2
    EDGE_SHARE, EDGE_GAIN = 0.75, 3.0
    FLOOR, USUAL = 0.01, 0.1
    """Of channel means and deviations: what counts as nothing; what is mapped to 0."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.RandomState(self.SEED)
        self.blocks = nn.ModuleList()
        before = 3
        for width in self.CHANNELS:
            self.blocks.append(nn.ModuleList([_conv(rng, before, width), _conv(rng, width, width)]))
            before = width
        first = self.blocks[0][0].weight  # type: ignore[index]
        edges = slice(round(self.EDGE_SHARE * len(first)))
        first[edges] -= first[edges].mean(dim=(1, 2, 3), keepdim=True)
        first[edges] *= self.EDGE_GAIN
        *shallow, deep = self.CHANNELS
        self.num_features = 2 * sum(shallow) + (self.GRID**2 + 1) * deep
        weights = b"".join(p.detach().numpy().tobytes() for p in self.parameters())
        self.identity = f"random-vgg-{hashlib.sha256(weights).hexdigest()[:16]}"
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        x = images.float() / 127.5 - 1
        found = []
        for depth, block in enumerate(self.blocks):
            x = x if depth == 0 else F.avg_pool2d(x, 2)
            for conv in block:  # type: ignore[attr-defined]
                x = F.relu(conv(F.pad(x, (1, 1, 1, 1), mode="replicate")))
            variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
            found.append(variance.sqrt())
            found.append(mean if depth + 1 < len(self.blocks) else self._grid(x))
        return ((torch.cat(found, dim=1) + self.FLOOR) / self.USUAL).log() / 2

    def _grid(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.GRID).flatten(1)


def _conv(rng: np.random.RandomState, inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3×3 convolution with He-normal weights, no bias, no gradient."""
    scale = (2 / (9 * inputs)) ** 0.5
    conv = nn.Conv2d(inputs, outputs, 3, bias=False).requires_grad_(False)
    weights = rng.standard_normal((outputs, inputs, 3, 3)) * scale
    conv.weight.copy_(torch.from_numpy(weights))
    return conv


class InceptionFeatures(Extractor):
    """The official TorchScript network, which resizes to 299 pixels itself; `return_features=True`
    leaves out its softmax layer."""

    num_features = 2048

    def __init__(self, network: nn.Module, identity: str) -> None:
        super().__init__()
        self.network = network
        self.identity = identity

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.network(images, return_features=True)
        return found.flatten(1).float()


def load_extractor(
    features: Features, features_file: Path | None = None, device: str | torch.device = "cpu"
) -> Extractor:
    """Return an extractor in eval mode on `device`.

    random: nothing is read. inception: `features_file`, or the official file, downloaded once into
    the user's cache and checked against its SHA-256. Such a file is a program that runs in
    TorchScript's own interpreter: see `load_script` on what it could do. Raises CheckpointError
    for a file that is not what is expected, DataError when the official one can be neither found
    nor downloaded.
    """
    if features == "random":
        return RandomFeatures().to(device)
    path = features_file or inception_file()
    expected = (
        "expected the TorchScript file inception-2015-12-05.pt; or set features: random, which "
        "needs no file"
    )
    extractor = InceptionFeatures(
        load_script(path, expected), f"inception-{file_sha256(path)[:24]}"
    )
    try:
        found = extractor(torch.zeros(1, 3, TRIAL, TRIAL, dtype=torch.uint8)).shape
        if found != (1, extractor.num_features):
            raise ValueError(f"gives features of shape {list(found)}, not [1, 2048]")
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise unusable(path, error, expected) from error
    return extractor.eval().requires_grad_(False).to(device)


def three_channels(images: Tensor) -> Tensor:
    """Return `[…, 3, H, W]` of `[…, C, H, W]`: the first three, or the first one three times."""
    channels = images.shape[-3]
    if channels >= 3:
        return images[..., :3, :, :]
    return images[..., :1, :, :].expand(*images.shape[:-3], 3, *images.shape[-2:])


def device_of(extractor: nn.Module) -> torch.device:
    """Return where an extractor computes; the CPU for one that has no weights."""
    tensors = chain(extractor.parameters(), extractor.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
