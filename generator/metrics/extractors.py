"""Feature extractors: networks that map uint8 images `[N, 3, H, W]` to features `[N, D]`.

`random` needs neither a download nor a teacher; `inception` is the published standard of FID and
KID. Networks want three channels, images have any number:
grey is repeated, of two channels the first is, and of more than three the first three are taken
(RGB of RGB + mask), so that a mask channel is judged by its own means, not by these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import chain, groupby, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.engine.downloads import cache_folder, fetch

INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""Of the 95,607,719 bytes at that address; several independent projects publish the same."""


class RandomFeatures(nn.Module):
    """An untrained VGG: random 3×3 convolutions know no ImageNet, so they favour no domain.

    Naeem et al. 2020 (section 4.2) show that such embeddings rank generators sensibly where images
    look nothing like ImageNet's. Four blocks of two convolutions, each block at half the resolution
    of the one before; mean and standard deviation of every channel over space, and the deepest
    means on a 2×2 grid, which sees where things are. Works from 16 pixels up; 64² takes about
    2 ms on one core. The weights come from NumPy's frozen `RandomState`: the same everywhere.

    A fundus patch is nearly one colour, so plain means would measure little else. Three quarters
    of the first filters therefore sum to zero, and all figures are taken as logarithms, in which
    a contrast that halves counts the same whether it was strong or faint.

    identity: names weights and arithmetic; equal identities give equal features.
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
        weights = b"".join(p.detach().numpy().tobytes() for p in self.parameters())
        self.identity = f"random-vgg-{hashlib.sha256(weights).hexdigest()[:16]}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 `[N, C, H, W]` to float32 `[N, 704]`."""
        x = three_channels(images).float() / 127.5 - 1
        found = []
        for depth, block in enumerate(self.blocks):
            x = x if depth == 0 else F.avg_pool2d(x, 2)
            for conv in block:  # type: ignore[attr-defined]
                x = F.relu(conv(F.pad(x, (1, 1, 1, 1), mode="replicate")))
            variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
            found.append(variance.sqrt())
            last = depth + 1 == len(self.blocks)
            found.append(F.adaptive_avg_pool2d(x, self.GRID).flatten(1) if last else mean)
        return ((torch.cat(found, dim=1) + self.FLOOR) / self.USUAL).log() / 2


def _conv(rng: np.random.RandomState, inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3×3 convolution with He-normal weights, no bias, no gradient."""
    scale = (2 / (9 * inputs)) ** 0.5
    conv = nn.Conv2d(inputs, outputs, 3, bias=False).requires_grad_(False)
    weights = rng.standard_normal((outputs, inputs, 3, 3)) * scale
    conv.weight.copy_(torch.from_numpy(weights))
    return conv


class InceptionFeatures(nn.Module):
    """The official TorchScript network, which resizes to 299 pixels itself: downloaded once into
    the user's cache (96 MB).

    A TorchScript file is a program, which may touch files: only the one that is known is run.
    Raises DataError when it can be neither found nor downloaded.
    """

    def __init__(self) -> None:
        super().__init__()
        path = fetch(
            INCEPTION_URL,
            INCEPTION_SHA256,
            INCEPTION_URL.rpartition("/")[2],
            purpose="features: inception",
            instead=f"put it into {cache_folder()}, or set features: random",
        )
        self.network: nn.Module = torch.jit.load(str(path), map_location="cpu")

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 `[N, 3, H, W]` to `[N, 2048]`, what the softmax layer is given."""
        found: Tensor = self.network(images, return_features=True)
        return found.flatten(1).float()


def load_extractor(features: str, device: str | torch.device = "cpu") -> nn.Module:
    """Return an extractor in eval mode on `device`. Raises as InceptionFeatures."""
    extractor = RandomFeatures() if features == "random" else InceptionFeatures()
    return extractor.eval().requires_grad_(False).to(device)


def three_channels(images: Tensor) -> Tensor:
    """Return `[…, 3, H, W]` of `[…, C, H, W]`: the first three, or the first one three times."""
    channels = images.shape[-3]
    if channels >= 3:
        return images[..., :3, :, :]
    return images[..., :1, :, :].expand(*images.shape[:-3], 3, *images.shape[-2:])


@torch.no_grad()
def extract(images: Iterable[Tensor], extractor: nn.Module, batch: int = 16) -> Tensor:
    """Return float32 features `[N, D]` on the CPU of at least one uint8 image `[C, H, W]`.

    A batch ends where the size of the images changes.
    """
    # An extractor without weights computes on the CPU.
    tensors = chain(extractor.parameters(), extractor.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    found: list[Tensor] = []
    for _, alike in groupby(map(three_channels, images), key=lambda image: image.shape):
        while group := list(islice(alike, batch)):
            features = extractor(torch.stack(group).to(device))
            found.append(features.flatten(1).float().cpu())
    return torch.cat(found)
