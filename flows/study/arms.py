"""The arms of a study, and which real-only arm each is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from configs.errors import ConfigError
from configs.study import ArmSettings, Augmented, Order

WORDS: dict[Order, str] = {
    "synthetic-first": "{count} synthetic → real",
    "real-first": "real → {count} synthetic",
    "mixed": "real + {count} synthetic, mixed",
}
AUGMENTED: dict[Augmented, str] = {
    "off": "no augmentation",
    "real": "only real images augmented",
    "synthetic": "only synthetic images augmented",
    "both": "",
}


@dataclass(frozen=True, order=True)
class ArmSpec:
    """One arm. real_images: training images with labels; order: None where count is 0.

    A real-only arm has `augment` off or both; an arm is compared with the one in which real images
    are augmented as in itself.
    """

    real_images: int
    count: int
    order: Order | None
    augment: Augmented

    @property
    def id(self) -> str:
        """Unique in the study and readable, such as `16-real-200-synthetic-first-both`."""
        how = f"{self.count}-{self.order}" if self.order else "only"
        return f"{self.real_images}-real-{how}-{self.augment}"

    @property
    def label(self) -> str:
        """What a reader calls it, without the number of real images."""
        name = WORDS[self.order].format(count=self.count) if self.order else "real only"
        note = AUGMENTED[self.augment]
        return f"{name} ({note})" if note else name

    @property
    def augments_real(self) -> bool:
        return self.augment in ("real", "both")

    @property
    def augments_synthetic(self) -> bool:
        return self.augment in ("synthetic", "both")

    @property
    def baseline(self) -> ArmSpec | None:
        """The real-only arm it is compared with; None for such an arm itself."""
        return real_only(self.real_images, self.augments_real) if self.order else None

    @property
    def phases(self) -> tuple[str, str]:
        """What each phase shows: real, synthetic or mixed."""
        if self.order is None:
            return ("real", "real")
        return {
            "synthetic-first": ("synthetic", "real"),
            "real-first": ("real", "synthetic"),
            "mixed": ("mixed", "mixed"),
        }[self.order]


def real_only(real_images: int, augmented: bool) -> ArmSpec:
    """The arm without synthetic images."""
    return ArmSpec(real_images, 0, None, "both" if augmented else "off")


def arms_of(settings: ArmSettings, available: int) -> list[ArmSpec]:
    """Every arm, real-only arms first within each number of real images.

    available: training images in the dataset. Raises ConfigError when more are asked for.
    """
    for wanted in settings.real_images:
        if wanted > available:
            raise ConfigError(
                f"arms.real_images: found {wanted}, but the dataset has {available} training "
                "images; give at most that"
            )
    found: dict[ArmSpec, None] = {}
    for real in settings.real_images or [available]:
        arms = list(_with_synthetic(settings, real))
        baselines = [arm.baseline for arm in arms] or [real_only(real, augmented=True)]
        found |= dict.fromkeys(b for b in baselines if b is not None)
        found |= dict.fromkeys(arms)
    return list(found)


def _with_synthetic(settings: ArmSettings, real: int) -> Iterator[ArmSpec]:
    counts = sorted(count for count in settings.counts if count)
    for augment, order, count in product(settings.augment, settings.orders, counts):
        yield ArmSpec(real, count, order, augment)
