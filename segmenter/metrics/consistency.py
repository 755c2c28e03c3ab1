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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import Values, harmonic, rates, ratio

SLACK = 0.005
"""By how much a number may miss the true one when metrics are means over images: then the identity
holds in every image, but not for the means. SA-UNetv2's notebook is 0.0014 and 0.0022 off."""
DERIVED = {"precision": "PR", "f1": "F1", "mcc": "MCC"}
FITS, NEAR, NEITHER = "fits", "near", "no"
REQUIRED = ("name", "se", "sp", "acc")
NUMBER = re.compile(r"(\d*)(?:\.(\d*))?(%?)")
EXPECTED = "expected columns name, se, sp, acc and, if at hand, precision, f1, mcc"


@dataclass(frozen=True)
class Quoted:
    """A metric in [0, 1] as it was printed, rounded to so many digits."""

    value: float
    digits: int = 4

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and highest number that is printed like this."""
        half = 0.5 * 10.0**-self.digits
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Range:
    """low ≤ value ≤ high; all NaN when nothing is known."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Values) -> Range:
        """Of what a formula gives for the numbers themselves and for the corners of their
        roundings, between which it is monotonic. Unknown when one is 0/0: near it all is possible.
        """
        if np.isnan(found).any():
            return cls(math.nan, math.nan, math.nan)
        return cls(float(found[0]), float(found.min()), float(found.max()))

    def meets(self, ends: tuple[float, float], slack: float = 0.0) -> bool:
        """Whether the two ranges have a number in common, give or take a rounding error; True of an
        unknown one."""
        gap = max(ends[0] - self.high, self.low - ends[1])
        return not gap > slack + 1e-9


def implied_share(se: Quoted, sp: Quoted, acc: Quoted) -> Range:
    """The share of vessel pixels p that solves ACC = SE·p + SP·(1 − p), within rounding.

    Unknown when SE and SP may be equal: any p would do. Values outside [0, 1] mean that no
    confusion matrix has such numbers.
    """
    if se.ends[1] >= sp.ends[0] and sp.ends[1] >= se.ends[0]:
        return Range(math.nan, math.nan, math.nan)
    a, b, c = _corners(*((q.value, *q.ends) for q in (se, sp, acc)))
    return Range.of(ratio(b - c, b - a))


def derived_from(se: ArrayLike, sp: ArrayLike, share: ArrayLike) -> dict[str, Values]:
    """ACC, precision, F1, IoU and MCC of SE, SP and the share of vessel pixels; NaN when undefined.

    Of one pixel: TP = SE·p, FP = (1 − SP)·(1 − p), FN = (1 − SE)·p. What lies outside [0, 1] counts
    as its nearer end.
    """
    a, b, p = (np.asarray(x, np.float64).clip(0, 1) for x in (se, sp, share))
    tp, fp = a * p, (1 - b) * (1 - p)
    return rates({"tp": tp, "fp": fp, "fn": p - tp, "tn": 1 - p - fp})


@dataclass
class Verdict:
    """What a row of a table says about itself.

    share: implied share of vessel pixels. fits: protocol → FITS (within rounding), NEAR (within
    the slack, as means over images may be) or NEITHER. problems: sentences, none when all numbers
    can be right.
    """

    share: Range
    fits: dict[str, str]
    problems: list[str] = field(default_factory=list)


def check_consistency(
    quoted: Mapping[str, Quoted], shares: Mapping[str, float], slack: float = SLACK
) -> Verdict:
    """Check one row. quoted: se, sp, acc, and where given precision, f1, mcc. shares: protocol →
    share of vessel pixels of the set that was scored (`{"whole": 0.0876, "fov": 0.1273}`)."""
    share = implied_share(quoted["se"], quoted["sp"], quoted["acc"])
    verdict = Verdict(share, {name: _fit(share, true, slack) for name, true in shares.items()})
    if share.high < 0 or share.low > 1:
        verdict.problems.append("no vessel share gives this accuracy with this SE and SP")
    elif not math.isnan(share.value) and set(verdict.fits.values()) == {NEITHER}:
        known = ", ".join(f"{name} {true:.4f}" for name, true in shares.items())
        verdict.problems.append(f"a vessel share of {share.value:.4f} is none of {known}")
    # A share that fits is exact; the implied one is blurred by rounding.
    agreed = [shares[name] for name, word in verdict.fits.items() if word == FITS]
    possible = agreed or [share.value, share.low, share.high]
    for name in DERIVED:
        if name in quoted:
            expected = _expected(name, quoted, possible)
            if not expected.meets(quoted[name].ends, slack):
                verdict.problems.append(_problem(name, quoted, expected, possible))
    return verdict


def _fit(share: Range, true: float, slack: float) -> str:
    if math.isnan(share.value):
        return NEITHER
    if share.meets((true, true)):
        return FITS
    return NEAR if abs(share.value - true) <= slack else NEITHER


def _expected(name: str, quoted: Mapping[str, Quoted], shares: Sequence[float]) -> Range:
    """What a metric must be: F1 from the row's own precision where it has one, else from SE, SP and
    the possible shares, over their roundings."""
    if name == "f1" and "precision" in quoted:
        return _f1_of(quoted["precision"], quoted["se"])
    se, sp = quoted["se"], quoted["sp"]
    corners = _corners((se.value, *se.ends), (sp.value, *sp.ends), shares)
    return Range.of(derived_from(*corners)[name])


def _f1_of(precision: Quoted | Range, other: Quoted) -> Range:
    ends = precision.ends if isinstance(precision, Quoted) else (precision.low, precision.high)
    corners = _corners((precision.value, *ends), (other.value, *other.ends))
    return Range.of(harmonic(*(corner.clip(0, 1) for corner in corners)))


def _problem(
    name: str, quoted: Mapping[str, Quoted], expected: Range, shares: Sequence[float]
) -> str:
    """The sentence; it says so where a wrong F1 is exactly what specificity in place of sensitivity
    gives."""
    own = name == "f1" and "precision" in quoted
    text = (
        f"{DERIVED[name]} {quoted[name].value:g}, but "
        f"{'its own PR and SE' if own else 'SE, SP and the vessel share'} give "
        f"{expected.value:.4f} ({expected.low:.4f} to {expected.high:.4f})"
    )
    precision = quoted["precision"] if own else _expected("precision", quoted, shares)
    if name == "f1" and _f1_of(precision, quoted["sp"]).meets(quoted["f1"].ends):
        text += "; it is 2·PR·SP/(PR + SP), specificity in place of sensitivity"
    return text


def _corners(*values: Sequence[float]) -> list[Values]:
    """All combinations of one number of each, the first of all first: one array for each."""
    return [grid.ravel() for grid in np.meshgrid(*map(np.asarray, values), indexing="ij")]


def check_table(path: Path, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row a line of the CSV file: name, implied vessel share with its rounding interval, the
    protocols it fits or is near, problems. Raises DataError for a bad file."""
    return [_told(name, check_consistency(quoted, shares)) for name, quoted in read_table(path)]


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
    ends = {"share": share.value, "share_low": share.low, "share_high": share.high}
    return {
        "name": name,
        **{key: None if math.isnan(value) else round(value, 4) for key, value in ends.items()},
        "fits": [protocol for protocol, word in verdict.fits.items() if word == FITS],
        "near": [protocol for protocol, word in verdict.fits.items() if word == NEAR],
        "problems": verdict.problems,
    }
