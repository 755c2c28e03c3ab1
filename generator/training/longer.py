"""Whether a longer training, or one that delivers another snapshot, goes on from a finished one.

Nothing here needs PyTorch: it is asked before anything is trained, too.
"""

from __future__ import annotations

from collections.abc import Set

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.longer import Length

SAME_WEIGHTS = {"kimg", "deliver", "snapshot_kimg", "snapshot_images"}
"""Settings that change no weight of a step, unless something is spread over the whole length."""


def steps_of(settings: GeneratorSettings) -> int:
    """Return in how many steps the images of `kimg` are shown."""
    return max(1, -int(-settings.kimg * 1000 // settings.batch))


def length(
    settings: GeneratorSettings, earlier: GeneratorSettings, changed: Set[str]
) -> Length | None:
    """Return the length of a training that an `earlier` one is the beginning of; None where their
    weights have nothing to do with each other. changed: the settings that differ."""
    if not changed <= SAME_WEIGHTS:
        return None
    found = steps_of(settings), steps_of(earlier), "kimg", settings.batch / 1000
    return Length(*found, obstacle=_obstacle(settings, earlier, changed))


def _obstacle(settings: GeneratorSettings, earlier: GeneratorSettings, changed: Set[str]) -> str:
    noise = settings.d_noise or settings.d_noise_mask
    if "kimg" in changed and settings.lr_end != 1:
        return f"its learning rate has fallen by {earlier.kimg:g} kimg (lr_end {settings.lr_end:g})"
    if "kimg" in changed and noise and settings.d_noise_end != 1:
        end = f"d_noise_end {settings.d_noise_end:g}"
        return f"the discriminator's noise has fallen by {earlier.kimg:g} kimg ({end})"
    for name in sorted(changed & {"snapshot_kimg", "snapshot_images"}):
        value = getattr(earlier, name)
        return (
            f"its snapshots have {name} {value:g}, and which is the best depends on it; with "
            f"generator.{name}={value:g} it goes on"
        )
    return ""
