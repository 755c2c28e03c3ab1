"""Whether a longer training, or one that chooses otherwise at its end, goes on from a finished one.

Nothing here needs PyTorch: it is asked before anything is trained, too.
"""

from __future__ import annotations

import math
from collections.abc import Set

from vesselforge.configs.settings import FitSettings
from vesselforge.engine.longer import Length

OVER_ALL_STEPS = {"cosine", "step"}
"""Schedules whose learning rate depends on where the end is."""
AT_THE_END = {"threshold_on", "calibrate", "components"}
"""Settings of what is chosen when the training is over."""
SAME_WEIGHTS = {"steps", "keep", "validate_every", "early_stop"} | AT_THE_END
"""Settings that change no weight of a step, unless the schedule is over all steps."""


def length(settings: FitSettings, earlier: FitSettings, changed: Set[str]) -> Length | None:
    """The length of a training that an `earlier` one is the beginning of; None where their weights
    have nothing to do with each other. changed: the settings that differ."""
    if not changed <= SAME_WEIGHTS:
        return None
    steps = settings.steps, earlier.steps
    return Length(*steps, obstacle=_obstacle(settings, earlier, changed))


def _obstacle(settings: FitSettings, earlier: FitSettings, changed: Set[str]) -> str:
    if "steps" in changed and settings.schedule in OVER_ALL_STEPS:
        return (
            f"its learning rate (schedule {settings.schedule}) has fallen by step {earlier.steps}"
        )
    if "validate_every" in changed:
        every = earlier.validate_every
        return (
            f"it was validated every {every} steps, and which weights are kept depends on it; with "
            f"validate_every {every} it goes on"
        )
    if "keep" in changed and settings.keep == "best":
        return "it kept the last weights alone; with keep last it goes on"
    if "early_stop" in changed and 0 < settings.early_stop < (earlier.early_stop or math.inf):
        return f"with early_stop {settings.early_stop} it might have ended earlier"
    return ""
