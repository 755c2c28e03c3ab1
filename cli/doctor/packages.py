"""What is installed: versions, held against what VesselForge asks for, and its trained models."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from vesselforge import pretrained
from vesselforge.cli.doctor.finding import Finding

SHOWN = ("vesselforge", "torch", "prefect", "fastapi", "numpy", "torchmetrics", "pydantic")
REASONS = {
    "fastapi": "newer ones break the server of Prefect 3.8, and with it every run",
    "sqlalchemy": "with newer ones the scheduler of Prefect 3.8 starts no run",
}
FOR_DEVELOPERS = "dev"


def findings() -> Iterator[Finding]:
    """The packages that matter most, others that do not fit, and the extras."""
    try:
        wanted = [Requirement(text) for text in requires("vesselforge") or []]
        extras = metadata("vesselforge").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        hint = "`pip install -e .` in the repository's folder"
        yield Finding("package vesselforge", "not installed", "broken", hint)
        return
    needed = {r.name: r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})}
    for name in SHOWN:
        yield fitting(name, needed.get(name))
    for name in needed.keys() - set(SHOWN):
        if (finding := fitting(name, needed[name])).state != "ok":
            yield finding
    for extra in extras:
        if extra != FOR_DEVELOPERS:
            yield extra_installed(extra, wanted)


def models() -> Iterator[Finding]:
    """The trained networks that come with the package, every file compared with its SHA-256."""
    for name in pretrained.names():
        what, damage = f"model {name}", pretrained.damage(name)
        if damage is None:
            told = f"{pretrained.kind_of(name)}, {pretrained.size(name) / 1e6:.1f} MB"
            yield Finding(what, told)
        else:
            yield Finding(what, damage, "broken", "the installation is damaged: install it again")


def fitting(name: str, needed: Requirement | None) -> Finding:
    """The installed version of a package, and whether it is one that is asked for."""
    what, found = f"package {name}", installed(name)
    if needed is None:
        return Finding(what, found or "not installed")
    hint = f"`pip install '{needed.name}{needed.specifier}'`"
    if found is None:
        return Finding(what, "not installed", "broken", hint)
    if not needed.specifier.contains(found, prereleases=True):
        why = f" ({REASONS[name]})" if name in REASONS else ""
        told = f"{found}, expected {needed.specifier}{why}"
        return Finding(what, told, "broken", hint)
    return Finding(what, found)


def extra_installed(extra: str, wanted: list[Requirement]) -> Finding:
    """Whether all packages of an extra are there; nobody needs all extras."""
    own = [r for r in wanted if r.marker is not None and r.marker.evaluate({"extra": extra})]
    own = [r for r in own if not r.marker.evaluate({"extra": ""})]  # type: ignore[union-attr]
    found = {r.name: installed(r.name) for r in own}
    missing = [name for name, number in found.items() if number is None]
    if missing:
        told = f"not installed: `pip install 'vesselforge[{extra}]'`"
        return Finding(f"extra {extra}", told)
    return Finding(f"extra {extra}", ", ".join(f"{name} {v}" for name, v in found.items()))


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
