"""What settings offer by name, each with a line of help. The code has a table of the same names,
and a test holds the two together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

NETWORKS = {
    "sa-unet": "U-Net with DropBlock, BatchNorm and spatial attention (Guo et al. 2020)",
    "sa-unet-v2": "half its size, with GroupNorm and gated skips (Guo et al. 2025)",
    "unet-18": "plain U-Net of four levels",
    "unet-18-sa": "the same with spatial attention",
    "unet-23": "plain U-Net of five levels",
    "sd-unet": "unet-18 with DropBlock (Guo et al. 2019)",
    "backbone": "sa-unet without attention",
    "sa-unet-gn": "sa-unet with GroupNorm",
    "unet-23-gn": "unet-23 with DropBlock and GroupNorm",
    "sa2-net": "attention across scales, 19 million parameters (Fiaz et al. 2023)",
    "unet-v2": "a pyramid vision transformer's features, multiplied (Peng et al. 2023)",
}
LOSSES = {
    "bce": "binary cross-entropy",
    "bce-dice": "the average of cross-entropy and Dice loss",
    "bce-mcc": "the average of cross-entropy and 1 − MCC, SA-UNetv2",
    "structure": "weighted cross-entropy + weighted IoU, U-Net v2",
    "balanced-bce-dice": "Dice + cross-entropy of each class, SA2-Net",
}


def described(choices: Mapping[str, str]) -> str:
    """The choices as a field's description."""
    return "; ".join(f"{name}: {what}" for name, what in choices.items())


def unknown(name: str, choices: Mapping[str, str]) -> str:
    """What to say of a name that is none of these: all of them, and the nearest."""
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return f"found {name!r}, expected one of {', '.join(choices)}{hint}"


def known(choices: Mapping[str, str]) -> Callable[[str], str]:
    """A validator that takes one of these names."""

    def check(name: str) -> str:
        if name not in choices:
            raise ValueError(unknown(name, choices))
        return name

    return check
