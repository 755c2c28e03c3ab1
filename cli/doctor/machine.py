"""Processors, memory, GPU, workspace, datasets."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from vesselforge.cli.doctor.finding import GIB, Finding
from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.engine.sinks.board import SWITCH, switched_on

LITTLE_SPACE, NO_SPACE = 5 * GIB, GIB // 2
"""The quickstart takes 50 MB, a training of 512² images with its checkpoints some GB."""
DRIVER = Path("/proc/driver/nvidia/version")


def findings(workspace: Path) -> Iterator[Finding]:
    """What there is without Prefect."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield Finding("system", system)
    yield Finding("processors", f"{_processors()} usable")
    yield Finding("memory", _memory())
    yield device()
    yield space(workspace)
    yield tensorboard()
    yield from _datasets()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    with contextlib.suppress(OSError, KeyError, ValueError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
        return f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB available"
    return "unknown"


def device() -> Finding:
    """The CUDA devices, tried with one addition each, or the CPU and why no GPU is used."""
    name = "device"
    try:
        import torch
    except (ImportError, OSError) as error:
        hint = "install it anew: `pip install --force-reinstall torch`"
        return Finding(name, f"PyTorch cannot be imported: {error}", "broken", hint)
    if not torch.cuda.is_available():
        found = f"CPU, {torch.get_num_threads()} threads"
        if not DRIVER.exists() or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
            return Finding(name, found)
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        return Finding(
            name,
            f"{found}; there is an NVIDIA driver, but this PyTorch is built {built}",
            "warning",
            "install the build that suits the driver, see https://pytorch.org/get-started/locally",
        )
    cards = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index).name
        try:
            (torch.ones(1, device=f"cuda:{index}") + 1).item()
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            hint = "give the card free or install a PyTorch that knows it; or set device: cpu"
            return Finding(name, f"{card}: {str(error).splitlines()[0]}", "broken", hint)
        cards.append(f"{card} ({total / GIB:.0f} GiB, {free / GIB:.0f} GiB free)")
    return Finding(name, f"{', '.join(cards)}; CUDA {torch.version.cuda}")


def space(folder: Path) -> Finding:
    """Whether the workspace can be written, its size and the room that is left."""
    from vesselforge.engine.store import Store

    name = "workspace"
    try:
        store = Store(folder).open()
    except WorkspaceError as error:
        return Finding(name, str(error), "broken", "give --workspace a folder of your own")
    free = shutil.disk_usage(folder).free
    found = f"{folder}, {free / GIB:.1f} GiB free; store {_contents(store.root)}"
    hint = "free some space, or give --workspace on a larger disk"
    if free < NO_SPACE:
        return Finding(name, found, "broken", hint)
    return Finding(name, found, *(("warning", hint) if free < LITTLE_SPACE else ()))


def _contents(root: Path) -> str:
    """`1.2 GiB in 14 artifacts, 1 unfinished`. Files with several names count once."""
    folders = [p.name for p in root.glob("[!.]*/*") if p.is_dir()]
    sizes: dict[int, int] = {}
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):  # a run goes on meanwhile
            if path.is_file():
                about = path.stat()
                sizes[about.st_ino] = about.st_size
    found = f"{sum(sizes.values()) / GIB:.1f} GiB in {sum('.' not in n for n in folders)} artifacts"
    for end, words in ((".partial", "unfinished"), (".damaged", "damaged")):
        if count := sum(name.endswith(end) for name in folders):
            found += f", {count} {words}"
    return found


def tensorboard() -> Finding:
    """Whether trainings are shown in TensorBoard."""
    try:
        on = switched_on()
    except ConfigError as error:
        return Finding("TensorBoard", str(error), "broken", f"unset {SWITCH}, or do as it says")
    return Finding("TensorBoard", "on" if on else f"off ({SWITCH}=1 switches it on)")


def _datasets() -> Iterator[Finding]:
    from vesselforge.configs.catalogue import DATASETS
    from vesselforge.data.datasets import named_dataset

    for name in DATASETS:
        try:
            dataset = named_dataset(name)
            yield Finding(f"dataset {name}", f"{dataset.root}, {len(dataset)} images")
        except DataError as error:  # nobody needs all of them
            yield Finding(f"dataset {name}", f"not found: {error}")
