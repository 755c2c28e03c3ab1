"""The SA-UNet family: one skeleton, and a table of what the published networks differ in.

SA-UNet: Guo et al., ICPR 2020, with the U-Nets of its ablation; SD-UNet: Guo et al., BIBE 2019;
SA-UNetv2: Guo et al., 2025, with the two GroupNorm baselines of its comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.units import (
    ConvUnit,
    CrossScaleAttention,
    Gate,
    JoinedConv,
    Norm,
    SpatialAttention,
    UpConv,
    he_normal_,
)


@dataclass(frozen=True)
class Variant:
    """What one network of the family is.

    levels: channels of each level, in units of the width (16). drop: DropBlock's rate, None where
    there is no DropBlock. he: which convolutions start from He normal instead of Glorot uniform
    (those of the attention gates always do).
    """

    levels: tuple[int, ...] = (1, 2, 4, 8)
    norm: Norm | None = None
    drop: float | None = None
    attention: bool = False
    cross_gates: bool = False
    he: Literal["none", "conv", "all"] = "none"


FIVE = (1, 2, 4, 8, 16)
VARIANTS = {
    "unet-18": Variant(),
    "unet-18-sa": Variant(attention=True),
    "unet-23": Variant(levels=FIVE),
    "sd-unet": Variant(drop=0.10),
    "backbone": Variant(norm="batch", drop=0.18),
    "sa-unet": Variant(norm="batch", drop=0.18, attention=True),
    "sa-unet-gn": Variant(norm="group", drop=0.15, attention=True, he="all"),
    "unet-23-gn": Variant(levels=FIVE, norm="group", drop=0.15, he="conv"),
    "sa-unet-v2": Variant(
        levels=(1, 2, 3, 4), norm="group", drop=0.15, attention=True, cross_gates=True, he="conv"
    ),
}


class SAUNet(Segmenter):
    """A U-Net of the family: two units a level, max-pooling down, transposed convolutions up.

    variant: a name of VARIANTS. drop: DropBlock's rate, default the paper's; ConfigError for a
    network without DropBlock. block: DropBlock's side in pixels. width: channels of the first
    level. Parameters at width 16: sa-unet 537,299 (538,707 as Keras counts, with running
    statistics), sa-unet-v2 260,521.
    """

    def __init__(
        self,
        variant: str = "sa-unet",
        drop: float | None = None,
        block: int = 7,
        width: int = 16,
    ) -> None:
        super().__init__()
        self.variant = VARIANTS[variant]
        if drop is not None and self.variant.drop is None:
            raise ConfigError(f"drop: {variant} has no DropBlock; leave `drop` out (found {drop})")
        rate = self.variant.drop if drop is None else drop
        channels = [width * factor for factor in self.variant.levels]
        self.encoder_channels = tuple(channels)
        self.multiple = 2 ** (len(channels) - 1)

        def unit(i: int, o: int, conv: type[nn.Conv2d] = nn.Conv2d) -> ConvUnit:
            return ConvUnit(i, o, self.variant.norm, rate, block, conv)

        *shallow, deepest = channels
        self.encoder = nn.ModuleList(
            nn.Sequential(unit(i, o), unit(o, o))
            for i, o in zip([3, *shallow], shallow, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        middle = [SpatialAttention()] if self.variant.attention else []
        self.bottleneck = nn.Sequential(unit(shallow[-1], deepest), *middle, unit(deepest, deepest))
        climb = shallow[::-1]
        self.up = nn.ModuleList(
            UpConv(i, o) for i, o in zip([deepest, *climb], climb, strict=False)
        )
        gates = climb if self.variant.cross_gates else []
        self.gate = nn.ModuleList(CrossScaleAttention(o) for o in gates)
        self.decoder = nn.ModuleList(
            nn.Sequential(unit(2 * o, o, JoinedConv), unit(o, o)) for o in climb
        )
        self.head = nn.Conv2d(width, 1, 1)
        self._initialise()

    def encode(self, x: Tensor) -> list[Tensor]:
        """The skips and the bottleneck, [N, C, H/k, W/k], k = 1, 2, 4, …; see Segmenter.encode."""
        levels = []
        for stage in self.encoder:
            x = stage(x)
            levels.append(x)
            x = self.pool(x)
        return [*levels, self.bottleneck(x)]

    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        *skips, x = self.encode(x)
        for level, skip in enumerate(reversed(skips)):
            x = self.up[level](x)
            if self.gate:
                skip = self.gate[level](skip, x)
            x = self.decoder[level]((x, skip))
        return [self.head(x)]

    def _initialise(self) -> None:
        by_he = {"none": (Gate,), "conv": (nn.Conv2d,), "all": (nn.Conv2d, UpConv)}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | UpConv):
                he = isinstance(module, by_he[self.variant.he])
                (he_normal_ if he else nn.init.xavier_uniform_)(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
