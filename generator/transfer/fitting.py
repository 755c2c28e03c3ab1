"""Fits a trained network to other images: resolution, image channels, labels.

Tensors of the same name and shape are taken over, as the published code does; those that touch the
image are mapped to its new channels, so that the first pictures and logits are the old ones, seen
through the change; all others start anew. A table says what became of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vesselforge.generator.trained import Kwargs

N = TypeVar("N", bound=nn.Module)
LOADED, MAPPED, NEW, UNUSED = "loaded", "mapped to other channels", "new", "unused"
NAMED = 4
"""Tensors named in a line of the table; the others are counted."""


def fit(
    kind: type[N], theirs: Mapping[str, Tensor], channels: int, aim: Kwargs, seed: int
) -> tuple[N, dict[str, list[str]]]:
    """Return a network with the arguments `aim`, and the names of its tensors by what they are.

    theirs: of a trained network whose images have so many channels. The same seed gives the same
    new tensors, so that G and its average get equal ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(**aim)
    names: dict[str, list[str]] = {LOADED: [], MAPPED: [], NEW: []}
    for name, value in network.state_dict().items():
        given = theirs.get(name)
        mapped = None if given is None else in_channels(name, given, channels, aim["img_channels"])
        if mapped is not None and mapped.shape == value.shape:
            value.copy_(mapped)
            names[LOADED if mapped is given else MAPPED].append(name)
        else:
            if name.endswith("torgb.weight"):
                value.zero_()  # a new resolution adds nothing to the image at first
            names[NEW].append(name)
    names[UNUSED] = [name for name in theirs if name not in {*names[LOADED], *names[MAPPED]}]
    return network, names


def rows_of(network: str, names: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return the table's rows of one network, as JSON; `names` by what became of them. Every name
    is listed, save of those that were simply loaded."""
    return [
        {"network": network, "what": what, "count": len(some)}
        | ({} if what == LOADED else {"names": some})
        for what, some in names.items()
        if some
    ]


def in_words(row: Mapping[str, Any]) -> str:
    """Return a row such as `D: 4 tensors new: b128.fromrgb.weight, …`."""
    line, names = f"{row['network']}: {row['count']} tensors {row['what']}", row.get("names", [])
    more = ", …" if len(names) > NAMED else ""
    return f"{line}: {', '.join(names[:NAMED])}{more}" if names else line


def channel_matrix(old: int, new: int) -> Tensor:
    """Return `[new, old]`: how an image of `new` channels is made from one of `old`.

    The first three channels (the only one of grey images) are colours, a further one is the mask:
    grey is the mean of colours, colours are copies of grey, a new mask is 0.
    """
    matrix = torch.zeros(new, old)
    colours = [3 if count >= 3 else 1 for count in (new, old)]
    same = colours[0] == colours[1]
    matrix[: colours[0], : colours[1]] = torch.eye(colours[0]) if same else 1 / colours[1]
    for i in range(min(new - colours[0], old - colours[1])):
        matrix[colours[0] + i, colours[1] + i] = 1
    return matrix


def in_channels(name: str, value: Tensor, old: int, new: int) -> Tensor:
    """Return a tensor for images of other channels; itself where it does not touch the image.

    Generator: its image, mapped by `channel_matrix`. Discriminator: applied to the mapped image
    (so that grey → RGB shares each weight out, and RGB → grey sums them).
    """
    if old == new:
        return value
    if name.endswith(("torgb.weight", "torgb.bias")):
        return torch.tensordot(channel_matrix(old, new), value, dims=1)
    if name.endswith("fromrgb.weight"):
        # Stored weights are scaled by 1/√channels when used.
        back = channel_matrix(new, old) * math.sqrt(new / old)
        return torch.einsum("oihw,in->onhw", value, back)
    return value
