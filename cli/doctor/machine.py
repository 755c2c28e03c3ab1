"""What this machine has, as far as it matters here, and what would stop a run on it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from vesselforge import pretrained
from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.engine.sinks.board import SWITCH, switched_on

GIB = 2**30
LITTLE_SPACE, NO_SPACE = 5 * GIB, GIB // 2
"""The quickstart takes 50 MB, a training of 512² images with its checkpoints some GB."""
DRIVER = Path("/proc/driver/nvidia/version")
REASONS = {
    "fastapi": "newer ones break the server of Prefect 3.8, and with it every run",
    "sqlalchemy": "with newer ones the scheduler of Prefect 3.8 starts no run",
}


class Finding(NamedTuple):
    """state: `broken` would stop a run; a `warning` will not, but is worth a look. hint: what to
    do about it."""

    name: str
    found: str
    state: Literal["ok", "warning", "broken"] = "ok"
    hint: str = ""


def examine(workspace: Path) -> Iterator[Finding]:
    """All findings, in the order in which people ask. Changes nothing but that the workspace is
    there afterwards."""
    here = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield Finding("system", f"{here}, {os.cpu_count()} processors")
    yield Finding("memory", memory())
    yield device()
    yield space(workspace)
    yield tensorboard()
    yield from datasets()
    yield from packages()
    yield from models()
    from vesselforge.cli.doctor.of_prefect import prefect

    yield from prefect()


def memory() -> str:
    """Of Linux; elsewhere unknown."""
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
        found += f"; there is an NVIDIA driver, but this PyTorch is built {built}"
        hint = "install the build that suits the driver, https://pytorch.org/get-started/locally"
        return Finding(name, found, "warning", hint)
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
    """Whether the workspace can be written, its artifacts, and the room that is left."""
    from vesselforge.engine.store import Store

    name = "workspace"
    try:
        root = Store(folder).open().root
    except WorkspaceError as error:
        return Finding(name, str(error), "broken", "give --workspace a folder of your own")
    free = shutil.disk_usage(folder).free
    names = [path.name for path in root.glob("[!.]*/*") if path.is_dir()]
    found = f"{folder}, {free / GIB:.1f} GiB free; {sum('.' not in n for n in names)} artifacts"
    for end, words in ((".partial", "unfinished"), (".damaged", "damaged")):
        if count := sum(n.endswith(end) for n in names):
            found += f", {count} {words}"
    if free >= LITTLE_SPACE:
        return Finding(name, found)
    hint = "free some space, or give --workspace on a larger disk"
    return Finding(name, found, "broken" if free < NO_SPACE else "warning", hint)


def tensorboard() -> Finding:
    """Whether trainings are shown in TensorBoard."""
    try:
        on = switched_on()
    except ConfigError as error:
        return Finding("TensorBoard", str(error), "broken", f"unset {SWITCH}, or do as it says")
    return Finding("TensorBoard", "on" if on else f"off ({SWITCH}=1 switches it on)")


def datasets() -> Iterator[Finding]:
    """The public ones; nobody needs all of them."""
    from vesselforge.configs.catalogue import DATASETS
    from vesselforge.data.datasets import named_dataset

    for name in DATASETS:
        try:
            dataset = named_dataset(name)
            yield Finding(f"dataset {name}", f"{dataset.root}, {len(dataset)} images")
        except DataError as error:
            yield Finding(f"dataset {name}", f"not found: {error}")


def packages() -> Iterator[Finding]:
    """Those that are needed, whether their versions fit, and what is missing of the extras."""
    try:
        wanted = [Requirement(text) for text in requires("vesselforge") or []]
    except PackageNotFoundError:
        hint = "`pip install -e .` in the repository's folder"
        yield Finding("package vesselforge", "not installed", "broken", hint)
        return
    yield from (fitting(needed) for needed in wanted if needed.marker is None)
    optional = [r for r in wanted if r.marker is not None and "dev" not in str(r.marker)]
    missing = sorted(r.name for r in optional if installed(r.name) is None)
    yield Finding("optional packages", f"not installed: {', '.join(missing) or 'none'}")


def fitting(needed: Requirement) -> Finding:
    """The installed version of a package, and whether it is one that is asked for."""
    what, found = f"package {needed.name}", installed(needed.name)
    hint = f"`pip install '{needed.name}{needed.specifier}'`"
    if found is None:
        return Finding(what, "not installed", "broken", hint)
    if not needed.specifier.contains(found, prereleases=True):
        why = f" ({REASONS[needed.name]})" if needed.name in REASONS else ""
        return Finding(what, f"{found}, expected {needed.specifier}{why}", "broken", hint)
    return Finding(what, found)


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def models() -> Iterator[Finding]:
    """The trained networks that come with the package, every file compared with its SHA-256."""
    for name in pretrained.names():
        if damage := pretrained.damage(name):
            hint = "the installation is damaged: install it again"
            yield Finding(f"model {name}", damage, "broken", hint)
        else:
            told = f"{pretrained.kind_of(name)}, {pretrained.size(name) / 1e6:.1f} MB"
            yield Finding(f"model {name}", told)
