"""The Pyramid Vision Transformer v2-b2 as an encoder, and its ImageNet weights.

The network is that of the `transformers` library, loaded only when one is built; what its
configuration cannot say is set here. Weights come from the authors' page on the Hugging Face hub.
"""

from __future__ import annotations

from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.checkpoints import load_strict, load_tensors
from vesselforge.engine.downloads import cache_folder, fetch

CHANNELS = (64, 128, 320, 512)
"""Of the four maps, at 1/4, 1/8, 1/16 and 1/32 of the resolution."""

WEIGHTS_URL = (
    "https://huggingface.co/OpenGVLab/pvt_v2_b2/resolve/"
    "e787234432e7ad9a54c770055b7c1e5b9338c378/model.safetensors"
)
WEIGHTS_SHA256 = "7de92c6b5d39f1b50f7d4a3f45ec5c18c56f171b370f05c34d70ae977db0b61d"
"""Of the 101 MB at that address, as the hub states it."""


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

    def load_pretrained(self) -> None:
        """Load ImageNet weights from the network or the cache; the classifier is ignored.

        Raises DataError when the weights cannot be had, CheckpointError naming the first tensor
        that is missing, left over or of another shape. Nothing is changed then.
        """
        path = fetch(
            WEIGHTS_URL,
            WEIGHTS_SHA256,
            "pvt_v2_b2.safetensors",
            purpose="network unet-v2: pretrained",
            instead=f"put it into {cache_folder()}, or set pretrained: none",
        )
        tensors = {
            name.removeprefix("pvt_v2."): tensor
            for name, tensor in load_tensors(path)[0].items()
            if not name.startswith("classifier.")
        }
        load_strict(self.body, tensors, path)
