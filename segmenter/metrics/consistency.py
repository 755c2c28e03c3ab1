"""Do the numbers of a quoted table fit together, and which pixels were counted?

ACC = SE·p + SP·(1 − p) holds for any confusion matrix whose share of vessel pixels is p. A quoted
(SE, SP, ACC) therefore tells p, and p tells the mask: inside the field of view of DRIVE's test
images it is 0.127, on the whole images 0.088. Precision, F1 and MCC then follow, too.

Quoted numbers are rounded, so every statement here is about the interval that rounding leaves.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import DataError

SLACK = 0.005
"""By how much the implied share may miss the true one when metrics are means over images: then the
identity holds in every image, but not for the means. SA-UNetv2's notebook is 0.0014 and 0.0022
off."""
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

    def meets(self, low: float, high: float) -> bool:
        """Whether the two ranges have a number in common, give or take a rounding error."""
        return low <= self.high + 1e-9 and high >= self.low - 1e-9


UNKNOWN = Range(math.nan, math.nan, math.nan)


def implied_share(se: Quoted, sp: Quoted, acc: Quoted) -> Range:
    """The share of vessel pixels p that solves ACC = SE·p + SP·(1 − p), within rounding.

    UNKNOWN when SE and SP may be equal: any p would do. Values outside [0, 1] mean that no
    confusion matrix has such numbers.
    """
    if se.ends[1] >= sp.ends[0] and sp.ends[1] >= se.ends[0]:
        return UNKNOWN
    return _over_corners(lambda a, b, c: (b - c) / (b - a), se, sp, acc)


def derived_from(se: float, sp: float, share: float) -> dict[str, float]:
    """ACC, precision, F1, IoU and MCC of SE, SP and the share of vessel pixels; NaN when undefined.

    With n pixels: TP = n·SE·p, FP = n·(1 − SP)·(1 − p), FN = n·(1 − SE)·p. What lies outside [0, 1]
    counts as its nearer end.
    """
    se, sp, share = _unit(se), _unit(sp), _unit(share)
    tp, fp = se * share, (1 - sp) * (1 - share)
    fn, tn = share - tp, 1 - share - fp
    below = math.sqrt(max((tp + fp) * share * (1 - share) * (fn + tn), 0.0))
    return {
        "acc": tp + tn,
        "precision": tp / (tp + fp) if tp + fp > 0 else math.nan,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn > 0 else math.nan,
        "iou": tp / (tp + fp + fn) if tp + fp + fn > 0 else math.nan,
        "mcc": (tp * tn - fp * fn) / below if below > 0 else math.nan,
    }


@dataclass
class Verdict:
    """What a row of a table says about itself.

    share: implied share of vessel pixels. fits: protocol → FITS (within rounding), NEAR (within
    the slack, as means over images may be) or NEITHER. closest: the nearest protocol and by how
    much the share is above it. problems: sentences, none when all numbers can be right; notes:
    what can be right only for means over images.
    """

    share: Range
    fits: dict[str, str]
    closest: tuple[str, float] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_consistency(
    quoted: Mapping[str, Quoted], shares: Mapping[str, float], slack: float = SLACK
) -> Verdict:
    """Check one row. quoted: se, sp, acc, and where given precision, f1, mcc. shares: protocol →
    share of vessel pixels of the set that was scored (`{"whole": 0.0876, "fov": 0.1273}`)."""
    share = implied_share(quoted["se"], quoted["sp"], quoted["acc"])
    verdict = Verdict(share, {name: _fit(share, true, slack) for name, true in shares.items()})
    if shares and not math.isnan(share.value):
        gaps = {name: share.value - true for name, true in shares.items()}
        nearest = min(gaps, key=lambda name: abs(gaps[name]))
        verdict.closest = nearest, gaps[nearest]
    if share.high < 0 or share.low > 1:
        verdict.problems.append("no vessel share gives this accuracy with this SE and SP")
    elif verdict.closest and set(verdict.fits.values()) == {NEITHER}:
        known = ", ".join(f"{name} {true:.4f}" for name, true in shares.items())
        verdict.problems.append(f"a vessel share of {share.value:.4f} is none of {known}")
    agreed = [shares[name] for name, word in verdict.fits.items() if word == FITS]
    for name in DERIVED:
        expected = _expected(name, quoted, share, agreed)
        if name in quoted and not math.isnan(expected.value):
            _compare(name, quoted, expected, verdict, slack)
    if "f1" in quoted and verdict.problems:
        _name_the_mistake(quoted, share, agreed, verdict)
    return verdict


def _fit(share: Range, true: float, slack: float) -> str:
    if math.isnan(share.value):
        return NEITHER
    if share.low - 1e-9 <= true <= share.high + 1e-9:
        return FITS
    return NEAR if abs(share.value - true) <= slack else NEITHER


def _compare(
    name: str, quoted: Mapping[str, Quoted], expected: Range, verdict: Verdict, slack: float
) -> None:
    """A problem when the quoted number cannot be, a note when it can be of means alone."""
    low, high = quoted[name].ends
    if expected.meets(low, high):
        return
    source = "its own PR and SE" if _own(name, quoted) else "SE, SP and the vessel share"
    text = (
        f"{DERIVED[name]} {quoted[name].value:g}, but {source} give {expected.value:.4f} "
        f"({expected.low:.4f} to {expected.high:.4f})"
    )
    if expected.meets(low - slack, high + slack):
        verdict.notes.append(f"{text}: beyond rounding, but means over images may differ so much")
    else:
        verdict.problems.append(text)


def _own(name: str, quoted: Mapping[str, Quoted]) -> bool:
    return name == "f1" and "precision" in quoted


def _expected(name: str, quoted: Mapping[str, Quoted], share: Range, agreed: list[float]) -> Range:
    """What a metric must be: F1 from the row's own precision where it has one, else from SE, SP and
    p over their roundings. agreed: shares that fit, used instead of the implied one, which rounding
    blurs."""
    se, sp = quoted["se"], quoted["sp"]
    if _own(name, quoted):
        return _over_corners(_harmonic, quoted["precision"], se)
    if math.isnan(share.value):
        return UNKNOWN
    possible = agreed or [share.value, share.low, share.high]
    found = [
        derived_from(a, b, p)[name] for a, b, p in itertools.product(se.ends, sp.ends, possible)
    ]
    return _spanned(derived_from(se.value, sp.value, possible[0])[name], found)


def _name_the_mistake(
    quoted: Mapping[str, Quoted], share: Range, agreed: list[float], verdict: Verdict
) -> None:
    """Say so where a wrong F1 is exactly what specificity in place of sensitivity gives."""
    precision = quoted.get("precision")
    if precision is None:
        implied = _expected("precision", quoted, share, agreed)
        ends = [_harmonic(p, sp) for p in (implied.low, implied.high) for sp in quoted["sp"].ends]
        mistaken = Range(implied.value, min(ends), max(ends))
    else:
        mistaken = _over_corners(_harmonic, precision, quoted["sp"])
    for number, text in enumerate(verdict.problems):
        if text.startswith("F1") and mistaken.meets(*quoted["f1"].ends):
            verdict.problems[number] = (
                f"{text}; it is 2·PR·SP/(PR + SP), specificity in place of sensitivity"
            )


def _over_corners(formula: Callable[..., float], *quoted: Quoted) -> Range:
    """The range of a formula over roundings, in which all of these are monotonic."""
    found = [formula(*corner) for corner in itertools.product(*(q.ends for q in quoted))]
    return _spanned(formula(*(q.value for q in quoted)), found)


def _spanned(value: float, found: list[float]) -> Range:
    """The range of what was found; UNKNOWN when a corner is 0/0, near which it can be anything."""
    return UNKNOWN if any(map(math.isnan, found)) else Range(value, min(found), max(found))


def _harmonic(a: float, b: float) -> float:
    a, b = _unit(a), _unit(b)
    return 2 * a * b / (a + b) if a + b else math.nan


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


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
