"""The arms of a study, and which other arms each is compared with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import AugmentSettings, FitSettings
from vesselforge.configs.study import ArmSettings, Augmented, NamedArm, Order, Strength
from vesselforge.pipeline.works import PHASES, Shows

WORDS: dict[Order, str] = {
    "synthetic-first": "{what} → real",
    "real-first": "real → {what}",
    "mixed": "real + {what}, mixed",
}
AUGMENTED: dict[Augmented, str] = {
    "off": "no augmentation",
    "real": "only real images augmented",
    "synthetic": "only synthetic images augmented",
    "both": "",
}


@dataclass(frozen=True)
class ArmSpec:
    """One arm. real_images: training images with labels; source, order: None where count is 0.

    two_phases: of a real-only arm, whether it is trained in two; else the order says it. longer:
    times the steps of the others, for a look whether they had reached their plateau. name and
    against (other named arms that it is held against) do not make it another arm.
    """

    real_images: int
    count: int = 0
    order: Order | None = None
    augment: Augmented = "both"
    source: str | None = None
    strength: Strength = "standard"
    two_phases: bool = False
    longer: float = 1.0
    name: str = field(default="", compare=False)
    against: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """Unique in the study and readable, such as `16-real-200-phantom-mixed-both`."""
        if self.name:
            return f"{self.real_images}-real-{self.name}"
        how = f"{self.count}-{self.source}-{self.order}" if self.order else "only"
        how += "-two-phases" if self.order is None and self.two_phases else ""
        strong = "-strong" if self.strength == "strong" else ""
        return f"{self.real_images}-real-{how}-{self.augment}{strong}"

    @property
    def label(self) -> str:
        """What a reader calls it, without the number of real images."""
        what = f"{self.count} {self.source}"
        words = WORDS[self.order].format(what=what) if self.order else "real only"
        notes = [AUGMENTED[self.augment]]
        notes += ["strong augmentation"] if self.strength == "strong" else []
        notes += ["two phases"] if self.order is None and self.two_phases else []
        notes += [] if self.longer == 1 else [f"{self.longer:g} × the steps"]
        note = ", ".join(filter(None, notes))
        whole = f"{words} ({note})" if note else words
        return f"{self.name}: {whole}" if self.name else whole

    @property
    def augments_real(self) -> bool:
        return self.augment in ("real", "both")

    @property
    def augments_synthetic(self) -> bool:
        return self.augment in ("synthetic", "both")

    @property
    def baseline(self) -> ArmSpec | None:
        """The real-only arm it is compared with; None for such an arm itself."""
        if self.order is None:
            return None
        phased = len(self.phases) == 2
        return real_only(self.real_images, self.augments_real, self.strength, phased)

    @property
    def phases(self) -> tuple[Shows, ...]:
        """What each training shows."""
        if self.order is not None:
            return PHASES[self.order]
        return ("real", "real") if self.two_phases else ("real",)


def real_only(
    real_images: int, augmented: bool, strength: Strength = "standard", two_phases: bool = False
) -> ArmSpec:
    """The arm without synthetic images."""
    augment: Augmented = "both" if augmented else "off"
    return ArmSpec(real_images, augment=augment, strength=strength, two_phases=two_phases)


def phase_settings(
    settings: FitSettings, arm: ArmSpec, shows: Shows, seed: int, strong: AugmentSettings
) -> FitSettings:
    """The settings of one phase: the seed, and augmentation of what it shows.

    Phases that show the same images in the same way are equal, whatever arm they belong to.
    """
    own = strong if arm.strength == "strong" else settings.augment
    real = own if arm.augments_real else AugmentSettings.off()
    synthetic = settings.synthetic_augment or settings.augment
    synthetic = synthetic if arm.augments_synthetic else AugmentSettings.off()
    return settings.model_copy(
        update={
            "seed": settings.seed + seed,
            "steps": max(1, round(settings.steps * arm.longer)),
            "augment": synthetic if shows == "synthetic" else real,
            "synthetic_augment": synthetic,
        }
    )


def arms_of(
    settings: ArmSettings,
    available: int,
    sources: Sequence[str] = ("stylegan2",),
    limited: Collection[str] = (),
) -> list[ArmSpec]:
    """Every arm, real-only arms first within each number of real images.

    available: training images in the dataset; sources: by name; limited: those of which all images
    are taken, the training images beyond an arm's own. Raises ConfigError when more real images
    are asked for than there are, for an arm without a count, and for one that is there twice.
    """
    for wanted in settings.real_images:
        if wanted > available:
            raise ConfigError(
                f"arms.real_images: found {wanted}, but the dataset has {available} training "
                "images; give at most that"
            )
    found: dict[ArmSpec, ArmSpec] = {}
    for real in settings.real_images or [available]:
        arms = list(
            _named(settings, real, available, limited)
            if settings.named
            else _combined(settings, real, available, sources, limited)
        )
        baselines = [a.baseline for a in arms if a.baseline] or [real_only(real, augmented=True)]
        _refuse_twins([arm for arm in arms if arm.name])
        named = {arm: arm for arm in arms}
        first = [arm for arm in arms if arm.order is None]
        for arm in [*first, *(named.get(b, b) for b in baselines), *arms]:
            found.setdefault(arm, arm)
    return list(found.values())


def compared(arms: Sequence[ArmSpec], controls: Sequence[str]) -> dict[str, list[str]]:
    """Arm id → ids of the arms that it is compared with: its real-only arm first, then those it is
    held against, then the controls; empty for a real-only arm that nothing is said of.

    A named arm need not be there with every number of real images (all have labels, and none is
    left to be unlabelled); then the id is that of no arm.
    """
    ids = {arm: arm.id for arm in arms}
    found: dict[str, list[str]] = {}
    for arm in arms:
        others = [ids[arm.baseline]] if arm.baseline else []
        held = [*arm.against, *(controls if arm.order else ())]
        others += [ArmSpec(arm.real_images, name=name).id for name in held if name != arm.name]
        found[arm.id] = list(dict.fromkeys(others))
    return found


def _combined(
    settings: ArmSettings,
    real: int,
    available: int,
    sources: Sequence[str],
    limited: Collection[str],
) -> Iterator[ArmSpec]:
    counts = sorted(count for count in settings.counts if count)
    whats = [(s, n) for s in sources for n in ([available - real] if s in limited else counts)]
    for augment, order, (source, count) in product(settings.augment, settings.orders, whats):
        if count:
            yield ArmSpec(real, count, order, augment, source)


def _named(
    settings: ArmSettings, real: int, available: int, limited: Collection[str]
) -> Iterator[ArmSpec]:
    for name, arm in settings.named.items():
        count = arm.count
        if arm.source in limited:
            count = available - real
            if count == 0:
                continue  # every image has labels: there is no such arm
        spec = _spec(name, arm, real, count or 0)
        if arm.source is not None and not count:
            raise ConfigError(
                f"arms.named.{name}.count: found none, expected the number of images of "
                f"{arm.source}"
            )
        yield spec


def _spec(name: str, arm: NamedArm, real: int, count: int) -> ArmSpec:
    bare = ArmSpec(real, strength=arm.strength, augment=arm.augment, name=name)
    bare = replace(bare, against=tuple(arm.against), longer=arm.longer)
    if arm.source is None:
        return replace(bare, two_phases=arm.order != "mixed")
    return replace(bare, source=arm.source, count=count, order=arm.order)


def _refuse_twins(arms: Sequence[ArmSpec]) -> None:
    owners: dict[ArmSpec, str] = {}
    for arm in arms:
        if (other := owners.setdefault(arm, arm.name)) != arm.name:
            raise ConfigError(f"arms.named: {other} and {arm.name} are the same arm; keep one")
