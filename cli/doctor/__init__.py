"""What this machine has, as far as it matters here, and what would stop a run on it."""

from __future__ import annotations

from pathlib import Path

from vesselforge.cli.doctor import machine, packages
from vesselforge.cli.doctor import prefect_server as prefect
from vesselforge.cli.doctor.finding import Finding

__all__ = ["Finding", "examine"]


def examine(workspace: Path) -> list[Finding]:
    """All findings, in the order in which people ask. Changes nothing but that the workspace is
    there afterwards."""
    installed = [*packages.findings(), *packages.models()]
    return [*machine.findings(workspace), *installed, *prefect.findings()]
