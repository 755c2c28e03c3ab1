"""Tables of quoted results: read from CSV, every row checked against itself."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.consistency import (
    DERIVED,
    FITS,
    NEAR,
    SLACK,
    Quoted,
    Verdict,
    check_consistency,
)

REQUIRED = ("name", "se", "sp", "acc")
NUMBER = re.compile(r"(\d*)(?:\.(\d*))?(%?)")
EXPECTED = "expected columns name, se, sp, acc and, if at hand, precision, f1, mcc"


def check_table(
    path: Path, shares: Mapping[str, float], slack: float = SLACK
) -> list[dict[str, Any]]:
    """One row a line of the CSV file: name, implied vessel share with its rounding interval, the
    protocols it fits, the nearest one, problems and notes. Raises DataError for a bad file."""
    return [
        _told(name, check_consistency(quoted, shares, slack)) for name, quoted in read_table(path)
    ]


def read_table(path: Path) -> list[tuple[str, dict[str, Quoted]]]:
    """(name, metrics) of every line. Columns in any order and case; others are left out.

    Raises DataError naming the line and column of what is no number in [0, 1] or percentage.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; {EXPECTED}")
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); {EXPECTED}") from error
    head = [cell.strip().lower() for cell in lines[0]] if lines else []
    if missing := [name for name in REQUIRED if name not in head]:
        raise DataError(f"{path}: no column {', '.join(missing)} in its first line; {EXPECTED}")
    found = []
    for number, line in enumerate(lines[1:], start=2):
        cells = {name: cell.strip() for name, cell in zip(head, line, strict=False)}
        if not any(cells.values()):
            continue
        quoted = {
            name: read_cell(cells.get(name, ""), f"{path}, line {number}, column {name}")
            for name in (*REQUIRED[1:], *DERIVED)
            if name in REQUIRED or cells.get(name)
        }
        found.append((cells["name"] or f"line {number}", quoted))
    if not found:
        raise DataError(f"{path}: no rows below the first line; {EXPECTED}")
    return found


def read_cell(text: str, where: str) -> Quoted:
    """A printed metric. 0.8212 has four digits, so do 82.12 and 82.12%: above 1 is a percentage."""
    match = NUMBER.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        raise DataError(f"{where}: found {text!r}, expected a number like 0.8212 or 82.12")
    value, digits = float(text.rstrip("%")), len(match[2] or "")
    if match[3] or value > 1:
        value, digits = value / 100, digits + 2
    if value > 1:
        raise DataError(f"{where}: found {text!r}, expected at most 1, or 100 as a percentage")
    return Quoted(value, digits)


def _told(name: str, verdict: Verdict) -> dict[str, Any]:
    share = verdict.share
    known = not math.isnan(share.value)
    nearest = verdict.closest
    return {
        "name": name,
        "share": round(share.value, 4) if known else None,
        "share_low": round(share.low, 4) if known else None,
        "share_high": round(share.high, 4) if known else None,
        "fits": [protocol for protocol, word in verdict.fits.items() if word == FITS],
        "near": [protocol for protocol, word in verdict.fits.items() if word == NEAR],
        "closest": nearest[0] if nearest else None,
        "off_by": round(nearest[1], 4) if nearest else None,
        "problems": verdict.problems,
        "notes": verdict.notes,
    }
