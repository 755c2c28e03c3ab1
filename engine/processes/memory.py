"""How much memory this process takes, cheap enough to be asked with every report of progress."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path

GIB = 2**30
EVERY_S = 1.0
"""Between two measurements: reading /proc takes 0.1 ms, CUDA's statistics about as much."""
MEMORY = ("rss_gib", "rss_peak_gib", "gpu_gib", "gpu_peak_gib")
"""Names of the figures, in GiB: resident memory, and what tensors take on the GPU; now and most."""


class MemoryMeter:
    """Measures at most once in EVERY_S, else repeats itself."""

    def __init__(self) -> None:
        self._due = 0.0
        self._found: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """Those of MEMORY that there are: nothing of a GPU unless this process uses one."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + EVERY_S
            found = resident() | on_gpu()
            self._found = {name: round(size / GIB, 3) for name, size in found.items()}
        return self._found


def resident() -> dict[str, float]:
    """Bytes of this process in the machine's memory. Only the most of them outside Linux."""
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
        # Not getrusage: on Linux its maximum begins with that of the parent that forked.
        status = Path("/proc/self/status").read_text()
        sizes = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Vm"))
        now, most = (int(sizes[name].split()[0]) * 1024.0 for name in ("VmRSS", "VmHWM"))
        return {"rss_gib": now, "rss_peak_gib": most}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rss_peak_gib": most if sys.platform == "darwin" else most * 1024.0}


def on_gpu() -> dict[str, float]:
    """Bytes of tensors on the current CUDA device; loads no PyTorch and starts no CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return {}
    now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return {"gpu_gib": float(now), "gpu_peak_gib": float(most)}
