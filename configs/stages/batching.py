"""Which batches can be divided over processes and minibatch-std groups."""

from __future__ import annotations


def misfit(batch: int, processes: int, group: int) -> str | None:
    """Return what does not fit and values that do, or None when all fits.

    A minibatch-std group (at most the batch) is never torn apart: it lies in one process.
    """
    group = min(group, batch)
    if batch % group:
        return (
            f"mbstd_group {group} must divide batch {batch}: "
            f"set batch to {-(-batch // group) * group}, or mbstd_group to 1"
        )
    if processes > batch // group:
        return (
            f"batch {batch} has {batch // group} minibatch-std groups of mbstd_group {group}, too "
            f"few for processes {processes}: set batch to {processes * group}, or processes to "
            f"{batch // group}"
        )
    return None
