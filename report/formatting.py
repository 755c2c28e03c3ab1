"""Numbers and other JSON values as text."""

from __future__ import annotations

import math
from typing import Any

ABSENT = "–"


def number(value: Any) -> float | None:
    """A finite number, or None for everything else (null, text, NaN, true)."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def fixed(value: Any, digits: int = 4) -> str:
    """A number with so many decimals."""
    return _written(value, f".{digits}f")


def significant(value: Any, digits: int = 3) -> str:
    """A number of unknown size with so many digits that matter."""
    return _written(value, f".{digits}g")


def counted(value: Any) -> str:
    """A count with thousands separated."""
    return _written(value, ",.0f")


def _written(value: Any, form: str) -> str:
    found = number(value)
    return ABSENT if found is None else format(found, form).replace("-", "−")


def interval(value: Any, digits: int = 3) -> str:
    """[mean, low, high] as `mean (low to high)`."""
    mean, low, high = value if isinstance(value, list | tuple) else (value, None, None)
    if number(low) is None or number(high) is None:
        return fixed(mean)
    return f"{fixed(mean)} ({fixed(low, digits)} to {fixed(high, digits)})"


def duration(seconds: Any) -> str:
    """A time a person can read: 4.2 s, 3 min 20 s, 2 h 05 min."""
    found = number(seconds)
    if found is None:
        return ABSENT
    if found < 60:
        return f"{found:.1f} s"
    if found < 3600:
        return f"{int(found) // 60} min {int(found) % 60:02d} s"
    return f"{int(found) // 3600} h {int(found) % 3600 // 60:02d} min"


def plain(value: Any) -> str:
    """Any JSON value as a person would write it."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−") if abs(value) >= 1e-4 or not value else f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value) or ABSENT
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items()) or ABSENT
    return str(value)


def spoken(name: str) -> str:
    """`vessel_share` as `vessel share`."""
    return name.replace("_", " ")
