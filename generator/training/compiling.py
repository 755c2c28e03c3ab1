"""torch.compile where it is possible, a plain message where it is not: never eager in secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError


def compiled(network: nn.Module, backend: str = "inductor") -> Callable[..., Tensor]:
    """Return `network` compiled as one graph per set of shapes, differentiable once.

    It shares the parameters. Noise is drawn by PyTorch's own generators, so that a seed means the
    same as without. Raises ConfigError when this machine cannot compile; what turns up later (a
    graph break, too many shapes) raises at the call.
    """
    device = next(network.parameters()).device
    _check(device, backend)
    options: dict[str, Any] | None = {"fallback_random": True} if backend == "inductor" else None
    # fullgraph: what cannot be traced is an error, as is running out of versions.
    result = torch.compile(network, backend=backend, fullgraph=True, dynamic=False, options=options)
    return cast(Callable[..., Tensor], result)


def _check(device: torch.device, backend: str) -> None:
    """Compile and run a trifle: the one reliable way to know that every tool is there."""
    known: Any = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise ConfigError(f"torch.compile backend {backend!r} is not one of {', '.join(known)}")
    try:
        trial = torch.compile(_trifle, backend=backend, fullgraph=True)
        trial(torch.ones(3, device=device))
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        tool = "Triton and a C compiler" if device.type == "cuda" else "a C++ compiler (g++)"
        raise ConfigError(
            f"generator.compile: torch.compile does not work on this machine "
            f"({type(error).__name__}: {reason.strip()}); it needs {tool}. Install what is "
            "missing, or set generator.compile: false"
        ) from error


def _trifle(x: Tensor) -> Tensor:
    return (x * 2).sin() + x
