"""Which device a setting means."""

from __future__ import annotations

import torch

from vesselforge.configs.errors import ConfigError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA when there is one, else the CPU. Raises ConfigError for an absent CUDA, and
    for other names."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: found {name!r}, expected auto, cpu or cuda")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda was asked for, but PyTorch sees no CUDA device here; use auto or cpu"
        )
    return torch.device(name)


def slow_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is emulated here: a CPU without AVX512-BF16 or AMX."""
    return device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
