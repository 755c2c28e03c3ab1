"""The Pyramid Vision Transformer v2-b2 as an encoder, and its ImageNet weights.

The network is that of the `transformers` library, loaded only when one is built; what its
configuration cannot say is set here. Weights come from the authors' page on the Hugging Face hub,
or from a file in one of two layouts: the authors' own (`pvt_v2_b2.pth`) or the library's.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.checkpoints import load_strict, load_tensors
from vesselforge.engine.downloads import fetch

CHANNELS = (64, 128, 320, 512)
"""Of the four maps, at 1/4, 1/8, 1/16 and 1/32 of the resolution."""

WEIGHTS_URL = (
    "https://huggingface.co/OpenGVLab/pvt_v2_b2/resolve/"
    "e787234432e7ad9a54c770055b7c1e5b9338c378/model.safetensors"
)
WEIGHTS_SHA256 = "7de92c6b5d39f1b50f7d4a3f45ec5c18c56f171b370f05c34d70ae977db0b61d"
"""Of the 101 MB at that address, as the hub states it."""
URL_VARIABLE = "VESSELFORGE_PVT_URL"
"""Names another address of the same file (a mirror); what comes from there is checked as well."""

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


class PyramidEncoder(nn.Module):
    """[N, 3, H, W] → four maps [N, C, H/k, W/k], k = 4, 8, 16, 32; H, W multiples of 32.

    24,849,856 parameters. drop_path: the rate of stochastic depth at the last of the 16 blocks; it
    rises linearly from 0 at the first. Raises ConfigError where `transformers` is missing.
    """

    def __init__(self, drop_path: float = 0.1) -> None:
        super().__init__()
        try:
            from transformers import PvtV2Config, PvtV2Model
        except ImportError as error:
            raise ConfigError(
                "network unet-v2: its encoder comes from the transformers library, which cannot "
                f"be imported ({error}); install it with pip install 'vesselforge[pvt]'"
            ) from error
        config = PvtV2Config(
            depths=[3, 4, 6, 3],
            hidden_sizes=list(CHANNELS),
            num_attention_heads=[1, 2, 5, 8],
            mlp_ratios=[8, 8, 4, 4],
            sr_ratios=[8, 4, 2, 1],
            drop_path_rate=drop_path,
            layer_norm_eps=1e-6,
        )
        self.body = PvtV2Model(config)
        # The library has one epsilon for all; as published, those after a convolution keep 1e-5.
        for name, module in list(self.body.named_modules()):
            if name.endswith(("patch_embedding.layer_norm", "attention.layer_norm")):
                module.eps = 1e-5

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.body(x, output_hidden_states=True).hidden_states)

    def load_pretrained(self, source: bool | str | Path) -> None:
        """Load ImageNet weights: from the network or the cache (True), or from a file.

        A file is `.safetensors`, or `.pth` / `.pt` / `.bin` of PyTorch, which is read without
        running any code in it. The classifier in it is ignored. Raises DataError when the weights
        cannot be had, CheckpointError naming the first tensor that is missing, left over or of
        another shape. Nothing is changed then.
        """
        path = _official_file() if source is True else Path(str(source))
        tensors = _read(path)
        if "patch_embed1.proj.weight" in tensors:
            tensors = self._from_published(tensors)
        else:
            tensors = {
                name.removeprefix("pvt_v2."): tensor
                for name, tensor in tensors.items()
                if not name.startswith("classifier.")
            }
        load_strict(self.body, tensors, path)

    def _from_published(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The authors' tensors under the library's names; what has none keeps its own."""
        own = {}
        used = {"head.weight", "head.bias"}
        for name in self.body.state_dict():
            key = published_name(name)
            if key in tensors:
                used.add(key)
                whole = tensors[key]
                if ".kv." in key:  # keys are the first half of the rows, values the second
                    half = len(whole) // 2
                    whole = whole[:half] if ".key." in name else whole[half:]
                own[name] = whole
        return own | {key: tensor for key, tensor in tensors.items() if key not in used}


def published_name(name: str) -> str:
    """The authors' name of the tensor that the library calls `name`.

    >>> published_name("encoder.layers.0.blocks.2.attention.key.bias")
    'block1.2.attn.kv.bias'
    """
    for pattern, replacement in TO_PUBLISHED:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"\d+", lambda stage: str(int(stage[0]) + 1), name, count=1)


def _official_file() -> Path:
    return fetch(
        os.environ.get(URL_VARIABLE, WEIGHTS_URL),
        WEIGHTS_SHA256,
        "pvt_v2_b2.safetensors",
        purpose="network unet-v2: pretrained",
        instead=f"give the path of a weight file instead, name a mirror in {URL_VARIABLE}, "
        "or train from random weights (pretrained: false)",
    )


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in (".pth", ".pt", ".bin"):
        return load_tensors(path)[0]
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"{path}: not a file of plain PyTorch tensors ({reason}); expected pvt_v2_b2.pth as "
            "published"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(
            f"{path}: holds something else than named tensors; expected pvt_v2_b2.pth as published"
        )
    return content
