"""What the settings of one stage ask of those of another, and of the images: what cannot work is
refused before any work. Of files only headers are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.settings import GeneratorSettings, PipelineConfig, SegmenterSettings
from vesselforge.configs.sources import NoSource, SourceSettings, StyleGAN2Source, UnlabelledSource
from vesselforge.configs.statistics import REFERENCE
from vesselforge.configs.study import StudyConfig
from vesselforge.data.layouts.items import Dataset, Item
from vesselforge.data.layouts.splits import TEST, TRAIN
from vesselforge.engine.documents import read_object
from vesselforge.pipeline.record import found_start
from vesselforge.pipeline.sources import Config, source_of
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_works import MOST_POOLS, source_by_name

OF_IMAGES = ("generator", "samples", "scores", "pseudo-labels", "run")
"""What makes synthetic images, or a generator of them."""
FEWEST = 2
"""Images on each side of a score."""


def check_run_settings(config: PipelineConfig, last: str = "run") -> None:
    """Raises ConfigError for settings of which some stage up to `last` can make nothing."""
    alone = isinstance(config.source, NoSource) and last == "run"
    if last not in OF_IMAGES or alone:
        return
    source = source_of(config.source, config)
    scored = last in ("scores", "run") or (
        last == "pseudo-labels" and config.pseudo_label.reject_copies
    )
    if scored and not source.limited and config.sample.count < FEWEST:
        raise ConfigError(
            f"sample.count: found {config.sample.count}, expected at least {FEWEST}: samples are "
            "scored (FID, KID), and one alone cannot be"
        )


def check_arms(config: StudyConfig, arms: Iterable[ArmSpec]) -> None:
    """Raises ConfigError for numbers of synthetic images that no pools hold or nothing scores."""
    size, most = config.synthetic.pool, MOST_POOLS * config.synthetic.pool
    largest: dict[tuple[str, int], int] = {}
    for arm in arms:
        if arm.source is None:
            continue
        source = source_by_name(config, arm.source)
        if source.limited:
            continue
        if arm.count > most:
            raise ConfigError(
                f"arms: found {arm.count:,} images of {arm.source}, expected at most {most:,}, "
                f"{MOST_POOLS} pools of synthetic.pool: {size}; raise synthetic.pool, or ask for "
                "fewer"
            )
        if source.filters.reject_copies and size < FEWEST:
            raise ConfigError(
                f"synthetic.pool: found {size}, expected at least {FEWEST}: reject_copies scores "
                "each pool; raise it, or set reject_copies: false"
            )
        key = arm.source, arm.real_images
        largest[key] = max(largest.get(key, 0), arm.count)
    for (name, _), count in largest.items():
        if count < FEWEST:
            raise ConfigError(
                f"arms: found {count} image of {name} at most, expected an arm of at least "
                f"{FEWEST}: the images of the largest are scored (FID, KID)"
            )


def check_images(config: Config, dataset: Dataset, last: str = "run") -> None:
    """Raises DataError or ConfigError for images that settings ask for and the dataset has not."""
    training = dataset.split(TRAIN)
    if last == "run" and not dataset.split(TEST):
        raise DataError(
            f"{dataset.root or 'data.phantom.test'}: found no test image, expected some: models "
            "are scored on them (`vesselforge generator` and `segmenter` need none)"
        )
    if last in ("run", "teacher", "pseudo-labels"):
        if not any(item.masks for item in training):
            raise DataError(
                f"{dataset.root}: found no vessel masks of {len(training)} training images, "
                "expected one beside each: a segmenter learns from them; `vesselforge data check` "
                "says what was recognised"
            )
        recipes = [config.teacher]
        synthetic = not (isinstance(config, PipelineConfig) and isinstance(config.source, NoSource))
        recipes += config.phases if synthetic and last == "run" else []
        _check_pads(recipes, training)
    sources = _sources(config) if last in OF_IMAGES else []
    generated = any(isinstance(source, StyleGAN2Source) for source in sources)
    if generated:
        _check_shown(config, training, dataset.classes)
    if last in ("scores", "run") and _whole(config, sources) and _shown(config, training) < FEWEST:
        raise DataError(
            f"data: found {_shown(config, training)} training image, expected at least {FEWEST}: "
            "whole synthetic images are scored against whole real ones; add images, or choose "
            "generator.presentation: patch"
        )


def check_observers(config: StudyConfig, sets: dict[str, Dataset]) -> None:
    """Raises ConfigError for an endpoint by an observer who drew nothing in one of its sets."""
    for endpoint in config.statistics.endpoints:
        for name in endpoint.sets:
            found = list(dict.fromkeys(who for item in sets[name] for who in item.masks))
            if endpoint.observer not in (REFERENCE, *found):
                raise ConfigError(
                    f"statistics.endpoints: {endpoint.name}: found the observer "
                    f"{endpoint.observer!r}, expected one of {name}'s: {', '.join(found)}"
                )


def check_start(settings: GeneratorSettings) -> None:
    """Raises DataError as `found_start`, ConfigError for a generator's folder that says it is of
    another size or other channels; what else differs shows when its weights are read."""
    if settings.start_from is None:
        return
    folder = found_start(settings.start_from)
    if settings.adapt or not folder.is_dir():
        return
    said = _description(folder)
    own = {"resolution": settings.resolution, "channels": settings.channels}
    if fixes := [f"generator.{k}: {said[k]}" for k in own if said.get(k) not in (None, own[k])]:
        raise ConfigError(
            f"generator.start_from: {settings.start_from}: its architecture is not that of the "
            f"settings: set {', '.join(fixes)}; or set generator.adapt: true, and it is fitted to "
            "the settings"
        )


def _description(folder: Path) -> dict[str, object]:
    found = read_object(folder / "generator.json", "the description of a generator", DataError)
    channels = found.get("channels")
    kind = channels.get("kind") if isinstance(channels, dict) else None
    return {"resolution": found.get("resolution"), "channels": kind}


def _sources(config: Config) -> list[SourceSettings]:
    """The sources that something is drawn from."""
    if isinstance(config, PipelineConfig):
        return [config.source]
    named = {arm.source for arm in config.arms.named.values()}
    return [each for name, each in config.sources.items() if not config.arms.named or name in named]


def _whole(config: Config, sources: Sequence[SourceSettings]) -> bool:
    """Whether whole images of some source are scored."""
    patches = config.generator.presentation == "patch"
    drawn = [s for s in sources if not isinstance(s, NoSource | UnlabelledSource)]
    return any(not (patches and isinstance(source, StyleGAN2Source)) for source in drawn)


def _shown(config: Config, training: Sequence[Item]) -> int:
    """The fewest training images that synthetic ones are made from."""
    if isinstance(config, PipelineConfig) or config.synthetic.generator_sees == "all":
        return len(training)
    return min(config.arms.real_images, default=len(training))


def _check_pads(recipes: Iterable[SegmenterSettings], training: Sequence[Item]) -> None:
    pads = [one.pad for one in recipes if one.source == "pool" and one.pad is not None]
    for item in training if pads else ():
        side = max(item.extent() or [0])
        if side > min(pads):
            raise ConfigError(
                f"pad: found {min(pads)}, but image {item.id!r} has a side of {side} pixels; give "
                "at least that, or leave `pad` out to pad to the largest image"
            )


def _check_shown(config: Config, training: Sequence[Item], classes: Sequence[str]) -> None:
    """What a generator is shown: patches that fit into the images, labels where it has classes."""
    own, label = config.generator, config.sample.label
    if own.presentation == "patch":
        for item in training:
            extent = item.extent()
            if extent is not None and min(extent) < own.resolution:
                raise ConfigError(
                    f"generator.resolution: found {own.resolution}, but image {item.id!r} has "
                    f"{extent[0]} x {extent[1]} pixels, too few for such patches; lower it, or "
                    "set generator.presentation: full"
                )
    if not own.labels:
        return
    if bare := [item.id for item in training if item.label is None]:
        raise ConfigError(
            f"generator.labels: true, but {len(bare)} training images have no label, such as "
            f"{bare[0]!r}; label them (data.name: images, with sub-folders, labels.csv or "
            "dataset.json), or set generator.labels: false"
        )
    count = len(training[0].label or ()) if training else 0
    if label is not None and not 0 <= label < count:
        named = f" ({', '.join(classes)})" if classes else ""
        raise ConfigError(
            f"sample.label: found {label}, but the images have {count} classes{named}; expected 0 "
            f"to {count - 1}"
        )
