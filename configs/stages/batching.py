"""Which batches can be divided over processes and minibatch-std groups."""

from __future__ import annotations


def misfit(batch: int, processes: int, group: int) -> str | None:
    """Return what does not fit and the nearest values that do, or None when all fits.

    A minibatch-std group (at most the batch) is never torn apart: it lies in one process.
    """
    group = min(group, batch)
    if batch % group:
        below, above = batch // group * group, -(-batch // group) * group
        return (
            f"mbstd_group {group} must divide batch {batch}: "
            f"set batch to {below} or {above}, or mbstd_group to {_divisor(batch, group)}"
        )
    groups = batch // group
    if processes > groups:
        smaller = _divisor(batch, batch // processes) if batch >= processes else 0
        other = f", mbstd_group to {smaller}" if smaller else ""
        return (
            f"batch {batch} has {groups} minibatch-std groups of mbstd_group {group}, too few for "
            f"processes {processes}: set batch to {processes * group}{other}, "
            f"or processes to {groups}"
        )
    return None


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of a number up to a limit."""
    return next(d for d in range(limit, 0, -1) if number % d == 0)
