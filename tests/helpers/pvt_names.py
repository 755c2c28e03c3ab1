"""The authors' names of PVTv2's tensors, for the test of its formulae."""

from __future__ import annotations

import re

from torch import Tensor, nn

TO_PUBLISHED = (
    (r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.", r"block\1.\2."),
    (r"encoder\.layers\.(\d+)\.patch_embedding\.layer_norm", r"patch_embed\1.norm"),
    (r"encoder\.layers\.(\d+)\.patch_embedding", r"patch_embed\1"),
    (r"encoder\.layers\.(\d+)\.layer_norm", r"norm\1"),
    (r"attention\.query", "attn.q"),
    (r"attention\.(key|value)", "attn.kv"),
    (r"attention\.spatial_reduction", "attn.sr"),
    (r"attention\.layer_norm", "attn.norm"),
    (r"attention\.proj", "attn.proj"),
    (r"layer_norm_", "norm"),
    (r"mlp\.dense", "mlp.fc"),
)
"""From the library's names to the authors'; the stage number is still to be raised by 1."""


def from_published(body: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' tensors under the library's names."""
    own = {}
    for name in body.state_dict():
        key = published_name(name)
        own[name] = tensors[key]
        if ".kv." in key:  # keys are the first half of the rows, values the second
            keys, values = tensors[key].chunk(2)
            own[name] = keys if ".key." in name else values
    return own


def published_name(name: str) -> str:
    """The authors' name of the tensor that the library calls `name`.

    >>> published_name("encoder.layers.0.blocks.2.attention.key.bias")
    'block1.2.attn.kv.bias'
    """
    for pattern, replacement in TO_PUBLISHED:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\d+", lambda stage: str(int(stage[0]) + 1), name, count=1)
