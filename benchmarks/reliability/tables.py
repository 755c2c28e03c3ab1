"""What a reliability test leaves: a JSON file, and a table in Markdown."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.reliability.processes import REPOSITORY
from vesselforge.engine.files import write_json


def facts(**more: Any) -> dict[str, Any]:
    """Where and from what the figures come. No names of machines or people."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "prefect": version("prefect"),
        **more,
    }


def machine() -> str:
    """In plain words."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {gib:.0f} GiB, {platform.system()}"


def commit() -> str:
    """Short, and whether files differed from it."""

    program = shutil.which("git")
    if program is None:
        return "unknown"

    def git(*arguments: str) -> str:
        command = [program, *arguments]
        said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return said.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changed else "")


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a table."""
    if not rows:
        return "(nothing)"
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[str(value).replace("|", "\\|") for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(path: Path | None, content: Mapping[str, Any]) -> None:
    """As JSON, when a path is given; the folder is made."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
