"""Do the numbers of a quoted table fit together, and which pixels were counted?

ACC = SE·p + SP·(1 − p) holds for any confusion matrix whose share of vessel pixels is p. A quoted
(SE, SP, ACC) therefore tells p, and p tells the mask: inside the field of view of DRIVE's test
images it is 0.127, on the whole images 0.088. Precision, F1 and MCC then follow, too.

Quoted numbers are rounded, so every statement here is about the interval that rounding leaves.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import Values, harmonic, rates, ratio

SLACK = 0.005
"""By how much a number may miss the true one when metrics are means over images: then the identity
holds in every image, but not for the means. SA-UNetv2's notebook is 0.0014 and 0.0022 off."""
DERIVED = {"precision": "PR", "f1": "F1", "mcc": "MCC"}
REQUIRED = ("name", "se", "sp", "acc")
NUMBER = re.compile(r"(\d*)(?:\.(\d*))?(%?)")
EXPECTED = "expected columns name, se, sp, acc and, if at hand, precision, f1, mcc"


class Range(NamedTuple):
    """low ≤ value ≤ high; all NaN when nothing is known."""

    value: float
    low: float
    high: float

    @classmethod
    def printed(cls, value: float, digits: int = 4) -> Range:
        """Of the numbers that are printed like this, rounded to so many digits."""
        half = 0.5 * 10.0**-digits
        return cls(value, value - half, value + half)

    @classmethod
    def of(cls, found: Values) -> Range:
        """Of what a formula gives for the numbers themselves and for the corners of their
        roundings, between which it is monotonic. Unknown when one is 0/0: near it all is possible.
        """
        if np.isnan(found).any():
            return cls(math.nan, math.nan, math.nan)
        return cls(float(found[0]), float(found.min()), float(found.max()))

    def meets(self, other: Range, slack: float = 0.0) -> bool:
        """Whether the two have a number in common, give or take a rounding error; True of an
        unknown one."""
        return not max(other.low - self.high, self.low - other.high) > slack + 1e-9


Row = dict[str, Range]
"""The metrics of a line, each in [0, 1]: se, sp, acc, and those of DERIVED that it has."""


def implied_share(se: Range, sp: Range, acc: Range) -> Range:
    """The share of vessel pixels p that solves ACC = SE·p + SP·(1 − p), within rounding.

    Unknown when SE and SP may be equal: any p would do. Values outside [0, 1] mean that no
    confusion matrix has such numbers.
    """
    if se.high >= sp.low and sp.high >= se.low:
        return Range(math.nan, math.nan, math.nan)
    a, b, c = _corners(se, sp, acc)
    return Range.of(ratio(b - c, b - a))


def derived_from(se: ArrayLike, sp: ArrayLike, share: ArrayLike) -> dict[str, Values]:
    """ACC, precision, F1, IoU and MCC of SE, SP and the share of vessel pixels; NaN when undefined.

    Of one pixel: TP = SE·p, FP = (1 − SP)·(1 − p), FN = (1 − SE)·p. What lies outside [0, 1] counts
    as its nearer end.
    """
    a, b, p = (np.asarray(x, np.float64).clip(0, 1) for x in (se, sp, share))
    tp, fp = a * p, (1 - b) * (1 - p)
    return rates({"tp": tp, "fp": fp, "fn": p - tp, "tn": 1 - p - fp})


def check_row(row: Row, shares: Mapping[str, float], slack: float = SLACK) -> dict[str, Any]:
    """What a row says about itself: `share`, the implied share of vessel pixels, with `share_low`
    and `share_high`, None when unknown; the protocols that it `fits` (within rounding) or is `near`
    (within the slack, as means over images may be); `problems`, sentences, none when all numbers
    can be right.

    shares: protocol → share of vessel pixels of the set that was scored (`{"whole": 0.0876, "fov":
    0.1273}`).
    """
    share = implied_share(row["se"], row["sp"], row["acc"])
    known = not math.isnan(share.value)
    fits = [name for name, true in shares.items() if known and share.meets(Range(true, true, true))]
    off = {name: abs(share.value - true) for name, true in shares.items() if name not in fits}
    near = [name for name in off if off[name] <= slack]
    problems = []
    if share.high < 0 or share.low > 1:
        problems.append("no vessel share gives this accuracy with this SE and SP")
    elif known and shares and not fits and not near:
        listed = ", ".join(f"{name} {true:.4f}" for name, true in shares.items())
        problems.append(f"a vessel share of {share.value:.4f} is none of {listed}")
    # A share that fits is exact; the implied one is blurred by rounding.
    possible = [shares[name] for name in fits] or share
    for name in DERIVED:
        if name in row:
            expected = _expected(name, row, possible)
            if not expected.meets(row[name], slack):
                problems.append(_problem(name, row, expected, possible))
    ends = zip(("share", "share_low", "share_high"), share, strict=True)
    told = {key: round(value, 4) if known else None for key, value in ends}
    return {**told, "fits": fits, "near": near, "problems": problems}


def _expected(name: str, row: Row, shares: Sequence[float]) -> Range:
    """What a metric must be: F1 from the row's own precision where it has one, else from SE, SP and
    the possible shares, over their roundings."""
    if name == "f1" and "precision" in row:
        return _f1_of(row["precision"], row["se"])
    return Range.of(derived_from(*_corners(row["se"], row["sp"], shares))[name])


def _f1_of(precision: Range, other: Range) -> Range:
    return Range.of(harmonic(*(corner.clip(0, 1) for corner in _corners(precision, other))))


def _problem(name: str, row: Row, expected: Range, shares: Sequence[float]) -> str:
    """The sentence; it says so where a wrong F1 is exactly what specificity in place of sensitivity
    gives."""
    own = name == "f1" and "precision" in row
    text = (
        f"{DERIVED[name]} {row[name].value:g}, but "
        f"{'its own PR and SE' if own else 'SE, SP and the vessel share'} give "
        f"{expected.value:.4f} ({expected.low:.4f} to {expected.high:.4f})"
    )
    precision = row["precision"] if own else _expected("precision", row, shares)
    if name == "f1" and _f1_of(precision, row["sp"]).meets(row["f1"]):
        text += "; it is 2·PR·SP/(PR + SP), specificity in place of sensitivity"
    return text


def _corners(*values: Sequence[float]) -> list[Values]:
    """All combinations of one number of each, the first of all first: one array for each."""
    return [grid.ravel() for grid in np.meshgrid(*map(np.asarray, values), indexing="ij")]


def check_table(path: Path, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """`name` and `check_row` of every line of a CSV file. Raises DataError for a bad file."""
    return [{"name": name} | check_row(row, shares) for name, row in read_table(path)]


def read_table(path: Path) -> list[tuple[str, Row]]:
    """(name, metrics) of every line. Columns in any order and case; others are left out.

    Raises DataError naming the line and column of what is no number in [0, 1] or percentage.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; {EXPECTED}")
    try:
        head, *lines = csv.reader(path.read_text(encoding="utf-8-sig").splitlines() or [""])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); {EXPECTED}") from error
    head = [cell.strip().lower() for cell in head]
    if missing := [name for name in REQUIRED if name not in head]:
        raise DataError(f"{path}: no column {', '.join(missing)} in its first line; {EXPECTED}")
    found = []
    for number, line in enumerate(lines, start=2):
        cells = {name: cell.strip() for name, cell in zip(head, line, strict=False)}
        if not any(cells.values()):
            continue
        row = {
            name: read_cell(cells.get(name, ""), f"{path}, line {number}, column {name}")
            for name in (*REQUIRED[1:], *DERIVED)
            if name in REQUIRED or cells.get(name)
        }
        found.append((cells["name"] or f"line {number}", row))
    if not found:
        raise DataError(f"{path}: no rows below the first line; {EXPECTED}")
    return found


def read_cell(text: str, where: str) -> Range:
    """A printed metric. 0.8212 has four digits, so do 82.12 and 82.12%: above 1 is a percentage."""
    match = NUMBER.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        raise DataError(f"{where}: found {text!r}, expected a number like 0.8212 or 82.12")
    value, digits = float(text.rstrip("%")), len(match[2] or "")
    if match[3] or value > 1:
        value, digits = value / 100, digits + 2
    if value > 1:
        raise DataError(f"{where}: found {text!r}, expected at most 1, or 100 as a percentage")
    return Range.printed(value, digits)
