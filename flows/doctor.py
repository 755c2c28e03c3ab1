"""What this machine has, as far as it matters here."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from configs.errors import DataError, WorkspaceError

PACKAGES = ("vesselforge", "torch", "prefect", "numpy", "torchmetrics", "pydantic")
GIB = 2**30


def examine(workspace: Path) -> dict[str, str]:
    """Name → finding, in the order in which people ask."""
    found = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "processors": f"{_processors()} usable",
        "memory": _memory(),
        "device": _device(),
        "workspace": _workspace(workspace),
    }
    found |= {f"package {name}": _version(name) for name in PACKAGES}
    found |= {f"dataset {name}": where for name, where in _datasets().items()}
    return found | {"Prefect server": _server()}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
        return f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB available"
    return "unknown"


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"none: PyTorch cannot be imported ({error})"
    if not torch.cuda.is_available():
        return f"CPU, {torch.get_num_threads()} threads"
    names = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return ", ".join(f"{p.name} ({p.total_memory / GIB:.0f} GiB)" for p in names)


def _workspace(folder: Path) -> str:
    from data.store import Store

    try:
        Store(folder).open()
    except WorkspaceError as error:
        return str(error)
    return f"{folder}, {shutil.disk_usage(folder).free / GIB:.1f} GiB free"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _datasets() -> dict[str, str]:
    from data.datasets import load

    found = {}
    for name in ("drive", "chase-db1", "stare"):
        try:
            dataset = load(name)
            found[name] = f"{dataset.root}, {len(dataset)} images"
        except DataError as error:
            found[name] = f"not found: {error}"
    return found


def _server() -> str:
    from flows.embedded import api_url, healthy

    url = api_url()
    if url is None:
        return "none configured: each run embeds its own"
    return f"{url}: {'answers' if healthy(url, timeout=5) else 'no answer'}"
