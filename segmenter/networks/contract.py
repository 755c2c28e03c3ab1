"""What every segmentation network has in common: any input size, logits out, one or more heads."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn


class Segmenter(nn.Module, ABC):
    """Input N×3×H×W in [0, 1], of any H and W; output N×1×H×W logits.

    A network is written for heights and widths that are multiples of `multiple`; here inputs are
    zero-padded at the right and at the bottom, and the outputs are cropped back.
    """

    multiple: int
    """What the pooling levels need height and width to be a multiple of."""
    encoder_channels: tuple[int, ...]
    """Channels of each level of `encode`."""
    temperature: float = 1.0
    shift: float = 0.0
    """Its probability is sigmoid(logit / temperature + shift), see `segmenter.calibration`."""

    @abstractmethod
    def encode(self, x: Tensor) -> list[Tensor]:
        """Features [N, C, h, w] of the encoder's levels, fine to deep: all that the decoder sees.

        x: [N, 3, H, W] with H, W multiples of `multiple`.
        """

    @abstractmethod
    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        """Logits [N, 1, h, w] of the heads, finest first; only the finest unless `every`.

        x: [N, 3, H, W] with H, W multiples of `multiple`. The finest has h = H, w = W.
        """

    def outputs(self, x: Tensor, every: bool = True) -> list[Tensor]:
        """Logits of all heads (deep supervision), each brought to [N, 1, H, W], finest first."""
        height, width = x.shape[-2:]
        # Written as products of `multiple`, and not with -height % multiple: only so can an export
        # with open sizes know that they divide (U-Net v2 cannot be exported otherwise).
        # Of positive numbers: ONNX's integer division truncates towards zero.
        step = self.multiple
        size = [(side + step - 1) // step * step for side in (height, width)]
        x = F.pad(x, (0, size[1] - width, 0, size[0] - height))
        return [_resized(head, size)[..., :height, :width] for head in self.heads(x, every)]

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x, every=False)[0]


def _resized(x: Tensor, size: list[int]) -> Tensor:
    if list(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
