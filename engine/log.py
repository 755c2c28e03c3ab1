"""The log of a training: one JSON object a line; no times, so a resumed run writes the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselforge.engine.files import write_atomic

LOG = "log.jsonl"


def append_log(out: Path, entry: dict[str, Any]) -> None:
    """Add an entry, which names its `step`."""
    with (out / LOG).open("a") as stream:
        stream.write(json.dumps(entry) + "\n")


def read_log(out: Path) -> Iterator[dict[str, Any]]:
    """The entries so far, up to the first that is not whole (torn by a kill)."""
    path = out / LOG
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            yield json.loads(line)
        except ValueError:
            return


def cut_log(out: Path, step: int) -> None:
    """Drop what was logged after `step`, from which a training goes on; whole or not at all."""
    kept = [entry for entry in read_log(out) if entry["step"] <= step]
    write_atomic(out / LOG, "".join(json.dumps(entry) + "\n" for entry in kept))
