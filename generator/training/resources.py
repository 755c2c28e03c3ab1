"""When a training writes a checkpoint and speaks, so that neither costs much; too little memory.

No artifact holds times: the same work has the same files, however long it took.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch

from vesselforge.configs.errors import TrainingError
from vesselforge.configs.settings import GeneratorSettings

QUIET_S = 10.0
"""Longest silence between two updates of the progress line, in which a tick may not end."""
MOST_OF_TIME = 0.02
"""Share of the time that checkpoints may take."""
FREE_S = 0.2
"""A checkpoint as quick as this is always written when due."""


class Pace:
    """Remembers when the training last spoke and saved, and how long saving took."""

    def __init__(self) -> None:
        self._spoke_at = self._saved_at = time.monotonic()
        self._save_took = 0.0

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Time a checkpoint."""
        began = time.monotonic()
        yield
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began

    def may_save(self) -> bool:
        """Whether another checkpoint would keep to its share of the time."""
        since = time.monotonic() - self._saved_at
        return self._save_took <= max(FREE_S, MOST_OF_TIME * since)

    def quiet(self) -> bool:
        """Whether nothing was said for a while; the caller says something now."""
        now = time.monotonic()
        if now - self._spoke_at < QUIET_S:
            return False
        self._spoke_at = now
        return True


@contextlib.contextmanager
def enough_memory(settings: GeneratorSettings) -> Iterator[None]:
    """Say what to lower when a step, or a snapshot, finds no memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # The CPU's allocator has no exception class of its own.
        if isinstance(error, RuntimeError) and not (
            isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
        ):
            raise
        raise TrainingError(
            f"generator: out of memory ({str(error).strip().splitlines()[0][:160]}); lower "
            f"generator.batch (now {settings.batch}) or generator.channel_base (now "
            f"{settings.channel_base}), or set generator.precision: bfloat16"
        ) from error
