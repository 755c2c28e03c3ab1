"""Adaptive discriminator augmentation (Karras et al. 2020, "Training GANs with limited data").

A differentiable, non-leaking pipe of image changes, each applied to an image with probability
p times its multiplier. Images are `[N, C, H, W]`, nominally in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from vesselforge.generator.augment.affine import (
    rotate2d,
    rotate_about_gray,
    scale2d,
    scale3d,
    translate2d,
    translate3d,
)
from vesselforge.generator.augment.pixels import (
    SYM6,
    filter_bank,
    filter_rows_and_columns,
    recolour,
    resample,
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
_UNIONS = {name: (name,) for name in GROUPS} | {
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
AUGMENT_PRESETS = {
    name: tuple(transform for group in groups for transform in GROUPS[group])
    for name, groups in _UNIONS.items()
}
"""Preset name → transforms of `AugmentPipe`."""

# Shares are of the side, angles of any angle, deviations of scales and gains in octaves.
XINT_MAX, SCALE_STD, ROTATE_MAX, ANISO_STD, XFRAC_STD = 0.125, 0.2, 1.0, 0.2, 0.125
BRIGHTNESS_STD, CONTRAST_STD, HUE_MAX, SATURATION_STD = 0.2, 0.5, 1.0, 1.0
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

    def forward(
        self, images: Tensor, debug_percentile: float | None = None, shard: Shard | None = None
    ) -> Tensor:
        """Return changed images of the same shape; `debug_percentile` fixes every draw.

        Images that are a shard of a batch are changed as they would be in the whole batch.
        """
        q, shard = debug_percentile, shard or Shard(images.shape[0])
        if not self.on.isdisjoint((*GROUPS["blit"], *GROUPS["geom"])):
            # even when every draw is the identity: filtering must not reveal that nothing happened
            inverse = shard.cut(self._geometry(shard.total, images.shape[2], images.shape[3], q))
            images = resample(images, inverse, self.Hz_geom.to(images.device))
        if not self.on.isdisjoint(GROUPS["color"]):
            colour = shard.cut(self._colour(shard.total, images.shape[1], q))
            images = recolour(images, colour.to(images.device))
        if "imgfilter" in self.on:
            taps = shard.cut(self._band_gains(shard.total, q)) @ self.Hz_fbank
            images = filter_rows_and_columns(images, taps.to(images.device))
        if "noise" in self.on:
            images = self._add_noise(images, shard, q)
        if "cutout" in self.on:
            images = self._cut_out(images, shard, q)
        return images

    # Draws. The value comes first, then the gate, always in the same order and shape, so that a
    # seed means the same changes in every implementation that keeps the order.

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.p.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.p.device)

    def _gate(
        self, value: Tensor, identity: float, p: float | Tensor, debug: float | None
    ) -> Tensor:
        """Keep a draw with probability p, else the identity; a debug value replaces both."""
        shape = [value.shape[0]] + [1] * (value.ndim - 1)
        keep = self._rand(*shape) < p
        if debug is not None:
            return torch.full_like(value, debug)
        return torch.where(keep, value, torch.full_like(value, identity))

    def _choice(self, options: int, n: int, q: float | None) -> Tensor:
        value = torch.floor(self._rand(n) * options)
        debug = None if q is None else math.floor(q * options)
        return self._gate(value, 0, self.p, debug)

    def _octaves(self, std: float, n: int, q: float | None, multiplier: float = 1.0) -> Tensor:
        value = torch.exp2(self._randn(n) * std)
        debug = None if q is None else 2 ** (_normal_at(q) * std)
        return self._gate(value, 1, multiplier * self.p, debug)

    def _angle(
        self, p: float | Tensor, limit: float, n: int, q: float | None, second: bool = False
    ) -> Tensor:
        value = (self._rand(n) * 2 - 1) * math.pi * limit
        debug = None if q is None else (0.0 if second else (q * 2 - 1) * math.pi * limit)
        return self._gate(value, 0, p, debug)

    def _geometry(self, n: int, h: int, w: int, q: float | None) -> Tensor:
        """Return `[N, 3, 3]`: where in the input each output pixel comes from (centre origin)."""
        inverse = torch.eye(3, device=self.p.device)
        if "xflip" in self.on:
            i = self._choice(2, n, q)
            inverse = inverse @ scale2d(1 - 2 * i, 1)
        if "rotate90" in self.on:
            i = self._choice(4, n, q)
            inverse = inverse @ rotate2d(math.pi / 2 * i)
        if "xint" in self.on:
            t = (self._rand(n, 2) * 2 - 1) * XINT_MAX
            debug = None if q is None else (q * 2 - 1) * XINT_MAX
            t = self._gate(t, 0, self.p, debug)
            inverse = inverse @ translate2d(-torch.round(t[:, 0] * w), -torch.round(t[:, 1] * h))
        if "scale" in self.on:
            s = self._octaves(SCALE_STD, n, q)
            inverse = inverse @ scale2d(1 / s, 1 / s)
        # Two chances to rotate, around the anisotropic scaling; together as likely as the others.
        p_rotate = 1 - (1 - self.p).clamp(0, 1).sqrt()
        if "rotate" in self.on:
            theta = self._angle(p_rotate, ROTATE_MAX, n, q)
            inverse = inverse @ rotate2d(theta)
        if "aniso" in self.on:
            s = self._octaves(ANISO_STD, n, q)
            inverse = inverse @ scale2d(1 / s, s)
        if "rotate" in self.on:
            theta = self._angle(p_rotate, ROTATE_MAX, n, q, second=True)
            inverse = inverse @ rotate2d(theta)
        if "xfrac" in self.on:
            t = self._randn(n, 2) * XFRAC_STD
            debug = None if q is None else _normal_at(q) * XFRAC_STD
            t = self._gate(t, 0, self.p, debug)
            inverse = inverse @ translate2d(-t[:, 0] * w, -t[:, 1] * h)
        return inverse.expand(n, 3, 3)

    def _colour(self, n: int, channels: int, q: float | None) -> Tensor:
        """Return `[N, 4, 4]`, acting on (r, g, b, 1); less than three channels have no colour."""
        colour = torch.eye(4, device=self.p.device)
        gray = torch.tensor([1.0, 1.0, 1.0, 0.0], device=self.p.device) / math.sqrt(3)
        along = torch.outer(gray, gray)  # projects onto the gray axis
        if "brightness" in self.on:
            b = self._randn(n) * BRIGHTNESS_STD
            debug = None if q is None else _normal_at(q) * BRIGHTNESS_STD
            b = self._gate(b, 0, self.p, debug)
            colour = translate3d(b, b, b) @ colour
        if "contrast" in self.on:
            c = self._octaves(CONTRAST_STD, n, q)
            colour = scale3d(c, c, c) @ colour
        if "lumaflip" in self.on:
            i = self._choice(2, n, q).reshape(n, 1, 1)
            colour = (torch.eye(4, device=self.p.device) - 2 * along * i) @ colour
        if "hue" in self.on and channels > 2:
            theta = self._angle(self.p, HUE_MAX, n, q)
            colour = rotate_about_gray(theta) @ colour
        if "saturation" in self.on and channels > 2:
            s = self._octaves(SATURATION_STD, n, q).reshape(n, 1, 1)
            across = torch.eye(4, device=self.p.device) - along
            colour = (along + across * s) @ colour
        return colour.expand(n, 4, 4)

    def _band_gains(self, n: int, q: float | None) -> Tensor:
        """Return `[N, 4]` amplifications of the frequency bands, at constant expected power."""
        bands = self.Hz_fbank.shape[0]
        power = torch.tensor([10.0, 1.0, 1.0, 1.0], device=self.p.device) / 13  # 1/f spectrum
        gains = torch.ones(n, bands, device=self.p.device)
        for i, strength in enumerate(self.imgfilter_bands):
            one = self._octaves(IMGFILTER_STD, n, q, strength)
            if q is not None and strength <= 0:
                one = torch.ones_like(one)
            t = torch.ones(n, bands, device=self.p.device)
            t[:, i] = one
            gains = gains * (t / (power * t.square()).sum(dim=1, keepdim=True).sqrt())
        return gains

    def _add_noise(self, images: Tensor, shard: Shard, q: float | None) -> Tensor:
        sigma = self._randn(shard.total, 1, 1, 1).abs() * NOISE_STD
        # Half-normal, whose quantile needs erfinv(q) where the others need erfinv(2q - 1).
        debug = None if q is None else _normal_at((q + 1) / 2) * NOISE_STD
        sigma = shard.cut(self._gate(sigma, 0, self.p, debug)).to(images.device)
        return images + shard.randn(images.shape, images.device) * sigma

    def _cut_out(self, images: Tensor, shard: Shard, q: float | None) -> Tensor:
        n, (h, w) = shard.total, images.shape[2:]
        shape = (n, 1, 1, 1, 1)
        size = torch.full(shape, CUTOUT_SIZE, device=self.p.device)
        size = self._gate(size, 0, self.p, None if q is None else CUTOUT_SIZE)
        centre = self._rand(n, 2, 1, 1, 1)
        if q is not None:
            centre = torch.full_like(centre, q)
        size = shard.cut(size / 2).to(images.device)
        centre = shard.cut(centre).to(images.device)
        x = (torch.arange(w, device=images.device).reshape(1, 1, 1, w) + 0.5) / w
        y = (torch.arange(h, device=images.device).reshape(1, 1, h, 1) + 0.5) / h
        outside_x = (x - centre[:, 0]).abs() >= size[:, 0]
        outside_y = (y - centre[:, 1]).abs() >= size[:, 0]
        return images * (outside_x | outside_y).to(images.dtype)


def _normal_at(q: float) -> float:
    """Return erfinv(2q - 1), the debug value of normal draws (no √2: kept as published)."""
    return float(torch.erfinv(torch.tensor(q * 2 - 1, dtype=torch.float32)))
