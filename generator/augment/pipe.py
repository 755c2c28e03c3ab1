"""Adaptive discriminator augmentation (Karras et al. 2020, "Training GANs with limited data").

A differentiable, non-leaking pipe of image changes, each applied to an image with probability
p times its multiplier. Images are `[N, C, H, W]`, nominally in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import chain

import torch
from torch import Tensor, nn

from vesselforge.generator.augment.pixels import (
    SYM6,
    filter_bank,
    filter_rows_and_columns,
    matrix,
    recolour,
    resample,
    rotate2d,
    rotate_about_gray,
    scale2d,
    translate2d,
)
from vesselforge.generator.networks.fir import setup_filter
from vesselforge.generator.shards import Shard

GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
AUGMENT_PRESETS = GROUPS | {
    "bgcfnc"[:count]: tuple(chain(*list(GROUPS.values())[:count])) for count in range(2, 7)
}
"""Preset name → transforms of `AugmentPipe`; `bgc` has those of the first three groups."""

# Shares are of the side, deviations of scales and gains in octaves.
XINT_MAX, SCALE_STD, ANISO_STD, XFRAC_STD = 0.125, 0.2, 0.2, 0.125
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0
IMGFILTER_STD, NOISE_STD, CUTOUT_SIZE = 1.0, 0.1, 0.5


def permitted(preset: str, mirror: bool) -> tuple[str, ...]:
    """Return the transforms of a preset, without mirroring if images must not be mirrored."""
    return tuple(name for name in AUGMENT_PRESETS[preset] if mirror or name != "xflip")


class AugmentPipe(nn.Module):
    """Geometry (one resampling), colour (one matrix), band filter, noise, cutout, in this order.

    transforms: names as in GROUPS. imgfilter_bands: how likely each band is changed, as a multiple
    of p. `p` is a buffer. The parameters of all transforms are drawn on the device of `p` and
    pixels are handled where the images are: keep the pipe on the CPU and an accelerator never has
    to be waited for.
    """

    p: Tensor
    Hz_geom: Tensor
    Hz_fbank: Tensor

    def __init__(
        self,
        transforms: Collection[str] = (),
        imgfilter_bands: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.on = frozenset(transforms)
        self.imgfilter_bands = imgfilter_bands
        self.register_buffer("p", torch.ones([]))
        self.register_buffer("Hz_geom", setup_filter(SYM6))
        self.register_buffer("Hz_fbank", torch.from_numpy(filter_bank()).float())

    def forward(self, images: Tensor, shard: Shard | None = None) -> Tensor:
        """Return changed images of the same shape.

        Images that are a shard of a batch are changed as they would be in the whole batch.
        """
        shard = shard or Shard(images.shape[0])
        n, (channels, h, w) = shard.total, images.shape[1:]
        if not self.on.isdisjoint((*GROUPS["blit"], *GROUPS["geom"])):
            # even when every draw is the identity: filtering must not reveal that nothing happened
            inverse = shard.cut(self._geometry(n, h, w))
            images = resample(images, inverse, self.Hz_geom.to(images.device))
        if not self.on.isdisjoint(GROUPS["color"]):
            images = recolour(images, shard.cut(self._colour(n, channels)).to(images.device))
        if "imgfilter" in self.on:
            taps = shard.cut(self._band_gains(n)) @ self.Hz_fbank
            images = filter_rows_and_columns(images, taps.to(images.device))
        if "noise" in self.on:
            images = self._add_noise(images, shard)
        if "cutout" in self.on:
            images = self._cut_out(images, shard)
        return images

    # Draws. The value comes first, then the gate, always in the same order and shape, so that a
    # seed means the same changes in every implementation that keeps the order.

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.p.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.p.device)

    def _gate(self, value: Tensor, p: Tensor, identity: float = 0.0) -> Tensor:
        """Keep a draw with probability p, else the identity."""
        keep = self._rand(len(value), *[1] * (value.ndim - 1)) < p
        return torch.where(keep, value, identity)

    def _choice(self, options: int, n: int) -> Tensor:
        return self._gate(torch.floor(self._rand(n) * options), self.p)

    def _octaves(self, std: float, n: int, multiplier: float = 1.0) -> Tensor:
        return self._gate(torch.exp2(self._randn(n) * std), multiplier * self.p, 1.0)

    def _angle(self, p: Tensor, n: int) -> Tensor:
        return self._gate((self._rand(n) * 2 - 1) * math.pi, p)

    def _geometry(self, n: int, h: int, w: int) -> Tensor:
        """Return `[N, 3, 3]`: where in the input each output pixel comes from (centre origin)."""
        inverse = torch.eye(3, device=self.p.device)
        if "xflip" in self.on:
            inverse = inverse @ scale2d(1 - 2 * self._choice(2, n), 1)
        if "rotate90" in self.on:
            inverse = inverse @ rotate2d(math.pi / 2 * self._choice(4, n))
        if "xint" in self.on:
            t = self._gate((self._rand(n, 2) * 2 - 1) * XINT_MAX, self.p)
            inverse = inverse @ translate2d(-torch.round(t[:, 0] * w), -torch.round(t[:, 1] * h))
        if "scale" in self.on:
            s = self._octaves(SCALE_STD, n)
            inverse = inverse @ scale2d(1 / s, 1 / s)
        # Two chances to rotate, around the anisotropic scaling; together as likely as the others.
        p_rotate = 1 - (1 - self.p).clamp(0, 1).sqrt()
        if "rotate" in self.on:
            inverse = inverse @ rotate2d(self._angle(p_rotate, n))
        if "aniso" in self.on:
            s = self._octaves(ANISO_STD, n)
            inverse = inverse @ scale2d(1 / s, s)
        if "rotate" in self.on:
            inverse = inverse @ rotate2d(self._angle(p_rotate, n))
        if "xfrac" in self.on:
            t = self._gate(self._randn(n, 2) * XFRAC_STD, self.p)
            inverse = inverse @ translate2d(-t[:, 0] * w, -t[:, 1] * h)
        return inverse.expand(n, 3, 3)

    def _colour(self, n: int, channels: int) -> Tensor:
        """Return `[N, 4, 4]`, acting on (r, g, b, 1); less than three channels have no colour."""
        colour = same = torch.eye(4, device=self.p.device)
        gray = torch.tensor([1.0, 1.0, 1.0, 0.0], device=self.p.device) / math.sqrt(3)
        along = torch.outer(gray, gray)  # projects onto the gray axis
        if "brightness" in self.on:
            b = self._gate(self._randn(n) * BRIGHTNESS_STD, self.p)
            colour = matrix([1, 0, 0, b], [0, 1, 0, b], [0, 0, 1, b], [0, 0, 0, 1]) @ colour
        if "contrast" in self.on:
            c = self._octaves(CONTRAST_STD, n)
            colour = matrix([c, 0, 0, 0], [0, c, 0, 0], [0, 0, c, 0], [0, 0, 0, 1]) @ colour
        if "lumaflip" in self.on:
            colour = (same - 2 * along * self._choice(2, n).reshape(n, 1, 1)) @ colour
        if "hue" in self.on and channels > 2:
            colour = rotate_about_gray(self._angle(self.p, n)) @ colour
        if "saturation" in self.on and channels > 2:
            s = self._octaves(SATURATION_STD, n).reshape(n, 1, 1)
            colour = (along + (same - along) * s) @ colour
        return colour.expand(n, 4, 4)

    def _band_gains(self, n: int) -> Tensor:
        """Return `[N, 4]` amplifications of the frequency bands, at constant expected power."""
        power = torch.tensor([10.0, 1.0, 1.0, 1.0], device=self.p.device) / 13  # 1/f spectrum
        gains = torch.ones(n, len(power), device=self.p.device)
        for i, strength in enumerate(self.imgfilter_bands):
            t = torch.ones_like(gains)
            t[:, i] = self._octaves(IMGFILTER_STD, n, strength)
            gains = gains * (t / (power * t.square()).sum(dim=1, keepdim=True).sqrt())
        return gains

    def _add_noise(self, images: Tensor, shard: Shard) -> Tensor:
        sigma = self._gate(self._randn(shard.total, 1, 1, 1).abs() * NOISE_STD, self.p)
        sigma = shard.cut(sigma).to(images.device)
        return images + shard.randn(images.shape, images.device) * sigma

    def _cut_out(self, images: Tensor, shard: Shard) -> Tensor:
        n, (h, w) = shard.total, images.shape[2:]
        size = self._gate(torch.full([n, 1], CUTOUT_SIZE, device=self.p.device), self.p)
        centre = self._rand(n, 2)
        size, centre = (shard.cut(drawn).to(images.device) for drawn in (size / 2, centre))
        x = (torch.arange(w, device=images.device) + 0.5) / w
        y = (torch.arange(h, device=images.device) + 0.5) / h
        outside_x = (x - centre[:, :1]).abs() >= size  # [N, W]
        outside_y = (y - centre[:, 1:]).abs() >= size  # [N, H]
        outside = outside_x[:, None, None, :] | outside_y[:, None, :, None]
        return images * outside.to(images.dtype)
