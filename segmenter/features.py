"""The encoder of a trained segmenter as a feature extractor for FID and KID: no download needed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks.contract import Segmenter


class EncoderFeatures(nn.Module):
    """[N, 3, H, W] uint8 → [N, num_features] float32: spatial means of every encoder level.

    For SA-UNet 16 + 32 + 64 + 128 = 240 numbers: texture from the fine levels, structure from the
    bottleneck; 1472 for SA2-Net, 1024 for U-Net v2. Distances in this space compare images of one
    domain and one teacher only. Of an ensemble the first network is taken.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        network = model.networks[0]
        assert isinstance(network, Segmenter)
        self.network = network
        self.num_features = sum(network.encoder_channels)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        x = images.to(next(self.network.parameters()).device).float() / 255
        (height, width), multiple = x.shape[-2:], self.network.multiple
        x = F.pad(x, (0, -width % multiple, 0, -height % multiple))
        return torch.cat([level.mean((2, 3)) for level in self.network.encode(x)], dim=1)
