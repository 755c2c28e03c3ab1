"""What settings offer by name: each once, with a line of help and where its code is. That is
loaded when it is first used, so that settings can be read without torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """help: a line for people. code: `module:name` below `vesselforge`. options: given to it in any
    case. Of networks, so that what cannot be is refused before any work; drops: False for one
    without DropBlock; heads: outputs at most."""

    help: str
    code: str
    options: Mapping[str, Any] = field(default_factory=dict)
    drops: bool = True
    heads: int = 4

    def load(self) -> Callable[..., Any]:
        """The class or function behind the name."""
        module, _, name = self.code.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(f"vesselforge.{module}"), name)
        return loaded


_FAMILY = {  # one class and a table of variants
    "sa-unet": "U-Net with DropBlock, BatchNorm and spatial attention (Guo et al. 2020)",
    "sa-unet-v2": "half its size, with GroupNorm and gated skips (Guo et al. 2025)",
    "unet-18": "plain U-Net of four levels",
    "unet-18-sa": "the same with spatial attention",
    "unet-23": "plain U-Net of five levels",
    "sd-unet": "unet-18 with DropBlock (Guo et al. 2019)",
    "backbone": "sa-unet without attention",
    "sa-unet-gn": "sa-unet with GroupNorm",
    "unet-23-gn": "unet-23 with DropBlock and GroupNorm",
}
_PLAIN = ("unet-18", "unet-18-sa", "unet-23")
NETWORKS = {
    **{
        name: Choice(
            help_,
            "segmenter.networks.sa_unet:SAUNet",
            {"variant": name},
            drops=name not in _PLAIN,
            heads=1,
        )
        for name, help_ in _FAMILY.items()
    },
    "sa2-net": Choice(
        "attention across scales, 19 million parameters (Fiaz et al. 2023)",
        "segmenter.networks.sa2_net:SA2Net",
        drops=False,
    ),
    "unet-v2": Choice(
        "a pyramid vision transformer's features, multiplied (Peng et al. 2023)",
        "segmenter.networks.unet_v2:UNetV2",
        drops=False,
    ),
}
"""Segmenters: called with options, each gives a `segmenter.networks.contract.Segmenter`."""
LOSSES = {
    "bce": Choice("binary cross-entropy", "segmenter.training.losses:bce"),
    "bce-dice": Choice(
        "the average of cross-entropy and Dice loss", "segmenter.training.losses:bce_dice"
    ),
    "bce-mcc": Choice(
        "the average of cross-entropy and 1 − MCC, SA-UNetv2", "segmenter.training.losses:bce_mcc"
    ),
    "structure": Choice(
        "weighted cross-entropy + weighted IoU, U-Net v2", "segmenter.training.losses:structure"
    ),
    "balanced-bce-dice": Choice(
        "Dice + cross-entropy of each class, SA2-Net", "segmenter.training.losses:balanced_bce_dice"
    ),
}
"""Losses: (logits, target, weight or None), all [N, 1, H, W], to a number."""


def described(choices: Mapping[str, Choice]) -> str:
    """The choices as a field's description."""
    return "; ".join(f"{name}: {choice.help}" for name, choice in choices.items())


def unknown(name: str, choices: Collection[str]) -> str:
    """What to say of a name that is none of these: all of them, and the nearest."""
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return f"found {name!r}, expected one of {', '.join(choices)}{hint}"


def known(choices: Collection[str]) -> Callable[[str], str]:
    """A validator that takes one of these names."""

    def check(name: str) -> str:
        if name not in choices:
            raise ValueError(unknown(name, choices))
        return name

    return check
