"""Convolutions laid out for oneDNN, and what follows them, for maps of one image. No gradients.

`torch.ops.mkldnn._convolution_pointwise` is what torch.compile emits on a CPU: a convolution with
weights packed beforehand that applies an activation to its result, or adds to a tensor, before the
result leaves the cache. Where PyTorch is built without oneDNN, separate passes do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.segmenter.networks.group_norm import chunks, factor_and_shift, pixels_of

BLOCK = 4
"""Side of the blocks of pixels that a one-channel convolution is computed by."""
PASSES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "swish": partial(F.silu, inplace=True),
    "sigmoid": torch.sigmoid_,
}
"""What can be applied to a convolution's result, in place; by oneDNN's names."""


def has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )


class PackedConv(nn.Module):
    """Convolution with stride 1, `same` zero padding and no groups; then an activation.

    weight: [O, I, k, l] float32, odd k and l. activation: a name in PASSES.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: str = "none"
    ) -> None:
        super().__init__()
        self.activation, self.onednn = activation, has_onednn()
        self.padding = [side // 2 for side in weight.shape[2:]]
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.weight = weight.detach().to(dtype).contiguous()
        if self.onednn:
            self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
                self.weight.to_mkldnn(), self.padding, [1, 1], [1, 1], 1
            )

    @staticmethod
    def takes(conv: nn.Conv2d) -> bool:
        """Whether this class can do what that layer does."""
        return (
            conv.stride == conv.dilation == (1, 1)
            and conv.groups == 1
            and conv.padding == tuple(side // 2 for side in conv.kernel_size)
            and conv.padding_mode == "zeros"
            and all(side % 2 for side in conv.kernel_size)
        )

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """activation(conv(x) + add); `add` is overwritten."""
        if not self.onednn:
            y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
            return PASSES[self.activation](y if add is None else y.add_(add))
        weight = (self.weight, self.bias, self.padding, [1, 1], [1, 1], 1)
        if add is None:
            y = torch.ops.mkldnn._convolution_pointwise(x, *weight, self.activation, [], "")
        else:
            after = None if self.activation == "none" else self.activation
            y = torch.ops.mkldnn._convolution_pointwise_.binary(
                add, x, *weight, "add", 1.0, after, [], None
            )
        assert isinstance(y, Tensor)
        return y


class PackedPair(nn.Module):
    """PackedConv of two maps as the sum of two, so that nothing need be concatenated.

    weight: [O, 2·C, k, l], the first half of the inputs being the first map's.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: str
    ) -> None:
        super().__init__()
        first, second = weight.chunk(2, dim=1)
        self.first = PackedConv(first, bias, dtype)
        self.second = PackedConv(second, None, dtype, activation)

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        y: Tensor = self.second(pair[1], add=self.first(pair[0]))
        return y


class BlockwiseGate(nn.Module):
    """sigmoid(conv k×k) of two maps to one, without bias, k ≤ 9, as a 3×3 convolution of blocks.

    One output channel would use one of the 16 lanes of a vector. The two maps cut into blocks of
    4×4 pixels are 32 channels at a quarter of the resolution, and the kernel is one from these to
    the 16 pixels of a block: three times the multiplications in a third of the time.
    """

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = PackedConv(block_kernel(weight.detach()), None, dtype, "sigmoid")

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # both [N, 1, H, W]
        n, _, height, width = first.shape
        bottom, right = -height % BLOCK, -width % BLOCK
        h, w = (height + bottom) // BLOCK, (width + right) // BLOCK
        blocks = first.new_empty(n, h, w, 2, BLOCK, BLOCK)
        for at, x in enumerate((first, second)):
            x = F.pad(x, (0, right, 0, bottom)).reshape(n, h, BLOCK, w, BLOCK)
            blocks[:, :, :, at] = x.permute(0, 1, 3, 2, 4)
        y = self.conv(blocks.view(n, h, w, 2 * BLOCK**2).permute(0, 3, 1, 2))
        y = y.permute(0, 2, 3, 1).reshape(n, h, w, BLOCK, BLOCK).permute(0, 1, 3, 2, 4)
        return y.reshape(n, 1, h * BLOCK, w * BLOCK)[..., :height, :width]


def block_kernel(weight: Tensor) -> Tensor:
    """[1, C, k, k] → [16, 16·C, 3, 3]: the kernel of BlockwiseGate.

    Along one axis, pixel a of a block sees pixel q of the block u − 1 further on through the
    kernel's tap 4·(u − 1) + q − a + k//2, where there is such a tap.
    """
    _, channels, side, _ = weight.shape
    assert side % 2 and side // 2 <= BLOCK
    a, q = torch.arange(BLOCK)[:, None, None, None], torch.arange(BLOCK)[:, None, None]
    u, tap = torch.arange(3)[:, None], torch.arange(side)
    taps = (tap == BLOCK * (u - 1) + q - a + side // 2).to(weight.dtype)  # [a, q, u, tap]
    kernel = torch.einsum("ckl,apuk,bqvl->abcpquv", weight[0], taps, taps)
    return kernel.reshape(BLOCK**2, channels * BLOCK**2, 3, 3)


class GroupNormSiLU(nn.Module):
    """silu(GroupNorm(x)), in place, of a channels-last map [1, C, H, W]; computed in float32."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight.detach().clone(), norm.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        pixels = pixels_of(x)[0]
        factor, shift = factor_and_shift(pixels, self.weight, self.bias, self.groups, self.eps)
        for part in [pixels] if x.dtype == torch.float32 else chunks(pixels):
            y = part.float()  # itself where it is float32 already
            torch.addcmul(shift, y, factor, out=y)
            F.silu(y, inplace=True)
            if y is not part:
                part.copy_(y)
        return pixels.view(1, *x.shape[2:], -1).permute(0, 3, 1, 2)
