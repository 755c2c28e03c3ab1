"""The arms of a study, and which other arms each is compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.study import ArmSettings, NamedArm, Order, Strength
from vesselforge.pipeline.works import PHASES, Shows

WORDS: dict[Order, str] = {
    "synthetic-first": "{what} → real",
    "real-first": "real → {what}",
    "mixed": "real + {what}, mixed",
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
    source: str | None = None
    strength: Strength = "standard"
    two_phases: bool = False
    longer: float = 1.0
    name: str = field(default="", compare=False)
    against: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """Unique in the study and readable, such as `16-real-200-phantom-mixed`."""
        how = f"{self.count}-{self.source}-{self.order}" if self.order else "only"
        how += "-two-phases" if self.two_phases else ""
        how += "-strong" if self.strength == "strong" else ""
        return f"{self.real_images}-real-{self.name or how}"

    @property
    def label(self) -> str:
        """What a reader calls it, without the number of real images."""
        what = f"{self.count} {self.source}"
        words = WORDS[self.order].format(what=what) if self.order else "real only"
        notes = ["strong augmentation"] if self.strength == "strong" else []
        notes += ["two phases"] if self.two_phases else []
        notes += [] if self.longer == 1 else [f"{self.longer:g} × the steps"]
        whole = f"{words} ({', '.join(notes)})" if notes else words
        return f"{self.name}: {whole}" if self.name else whole

    @property
    def baseline(self) -> ArmSpec | None:
        """The real-only arm it is compared with; None for such an arm itself."""
        if self.order is None:
            return None
        two = len(self.phases) == 2
        return ArmSpec(self.real_images, strength=self.strength, two_phases=two)

    @property
    def phases(self) -> tuple[Shows, ...]:
        """What each training shows."""
        if self.order is not None:
            return PHASES[self.order]
        return ("real", "real") if self.two_phases else ("real",)


def arms_of(
    settings: ArmSettings,
    available: int,
    sources: Sequence[str] = ("stylegan2",),
    limited: Collection[str] = (),
    within: str = "the dataset",
) -> list[ArmSpec]:
    """Every arm, real-only arms first within each number of real images.

    available: training images, `within` says where; sources: by name; limited: those of which all
    images are taken, the training images beyond an arm's own. Raises ConfigError when more real
    images are asked for than there are, for an arm without a count, and for one that is there
    twice.
    """
    most = max(settings.real_images, default=0)
    if most > available:
        raise ConfigError(
            f"arms.real_images: found {most}, but {within} has {available} training images; give "
            "at most that"
        )
    found: dict[ArmSpec, None] = {}
    for real in settings.real_images or [available]:
        left = dict.fromkeys(limited, available - real)
        if settings.named:
            arms = _named(settings.named, real, left)
        else:
            arms = _combined(settings, real, sources, left)
        bare = [arm for arm in arms if arm.order is None]
        baselines = [a.baseline for a in arms if a.baseline] or [ArmSpec(real)]
        found |= dict.fromkeys([*bare, *baselines, *arms])  # of equal ones the first stays
    return list(found)


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
    settings: ArmSettings, real: int, sources: Sequence[str], left: Mapping[str, int]
) -> list[ArmSpec]:
    """left: how many images a limited source has; where it has none, there is no such arm."""
    counts = sorted(settings.counts)
    takes = [(s, n) for s in sources for n in ([left[s]] if s in left else counts) if n]
    return [ArmSpec(real, n, order, source) for order in settings.orders for source, n in takes]


def _named(named: Mapping[str, NamedArm], real: int, left: Mapping[str, int]) -> list[ArmSpec]:
    """left: as for `_combined`."""
    found: dict[ArmSpec, str] = {}
    for name, arm in named.items():
        spec = ArmSpec(
            real,
            strength=arm.strength,
            two_phases=arm.source is None and arm.order != "mixed",
            longer=arm.longer,
            name=name,
            against=tuple(arm.against),
        )
        if arm.source is not None:
            count = left.get(arm.source, arm.count)
            if count is None:
                raise ConfigError(
                    f"arms.named.{name}.count: found none, expected the number of images of "
                    f"{arm.source}"
                )
            if count == 0:
                continue  # every image has labels: there is no such arm
            spec = replace(spec, count=count, order=arm.order, source=arm.source)
        if (other := found.setdefault(spec, name)) != name:
            raise ConfigError(f"arms.named: {other} and {name} are the same arm; keep one")
    return list(found)
