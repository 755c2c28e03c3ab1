"""Which batches can be divided over processes, micro-batches and minibatch-std groups."""

from __future__ import annotations


def misfit(batch: int, processes: int, micro_batch: int | None, group: int) -> str | None:
    """Return what does not fit and the nearest values that do, or None when all fits.

    A minibatch-std group (at most the batch) is never torn apart: it lies in one micro-batch of
    one process.
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
    if micro_batch is not None and micro_batch % group and micro_batch < batch:
        near = [n for n in (micro_batch // group * group, -(-micro_batch // group) * group) if n]
        return (
            f"micro_batch {micro_batch} must be a multiple of mbstd_group {group}: set micro_batch "
            f"to {' or '.join(map(str, near))}, or mbstd_group to {_common(batch, micro_batch)}"
        )
    return None


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of a number up to a limit."""
    return next(d for d in range(limit, 0, -1) if number % d == 0)


def _common(batch: int, micro_batch: int) -> int:
    """The largest group that fits a batch and its micro-batches."""
    return next(d for d in range(micro_batch, 0, -1) if batch % d == 0 and micro_batch % d == 0)
