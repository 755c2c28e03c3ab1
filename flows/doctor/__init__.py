"""What this machine has, as far as it matters here, and what would stop a run on it."""

from __future__ import annotations

from pathlib import Path

from flows.doctor.finding import Finding
from flows.doctor.machine import machine
from flows.doctor.packages import packages
from flows.doctor.prefect import prefect

__all__ = ["Finding", "examine"]


def examine(workspace: Path) -> list[Finding]:
    """All findings, in the order in which people ask. Changes nothing but that the workspace is
    there afterwards."""
    return [*machine(workspace), *packages(), *prefect()]
