"""What a study found, as `results.json` in its run folder: all that its page and tables show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from configs.study import Augmented, Order, Strength


class Record(BaseModel):
    """Base: read back as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Record):
    """What a metric was measured on: a set of test images, by whose drawings."""

    set: str
    observer: str


class Effect(Record):
    """An arm minus the real-only arm of the same seeds, on one place. In units of the metric.

    level: mean of the metric itself over seeds and images, with its interval.
    mean, low, high: mean paired difference and its 95 % interval (1 − alpha in general).
    by_seed: mean difference of each seed, in the order of the arm's completed seeds.
    p_images: Wilcoxon signed-rank over images, of differences averaged over seeds.
    p_seeds: of the crossed random-effects test, for which seeds are a sample too.
    p_holm: the larger of the two after Holm's correction over all arms; None without enough data.
    detectable: smallest mean difference that would have been found with the power asked for.
    """

    place: Place
    level: tuple[float, float, float]
    seeds: int
    images: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    by_seed: list[float] = []
    sd_images: float | None = None
    sd_seeds: float | None = None
    p_images: float | None = None
    p_seeds: float | None = None
    p_holm: float | None = None
    detectable: float | None = None
    verdict: Literal["gain", "harm", "none shown", "untested"] = "untested"


class ArmRun(Record):
    """One arm with one seed. message: why it failed."""

    seed: int
    status: Literal["completed", "failed"]
    message: str = ""
    validation_f1: float | None = None
    threshold: float | None = None


class Realism(Record):
    """The synthetic images of an arm against the real ones; means over its seeds' selections.

    distance: median distance to the nearest training image, in units of the held-out images'
    median. copies: share that is suspiciously near; expected: of new images.
    c_t: Meehan's C_T statistic; far below 0 where samples are nearer than held-out images are.
    """

    kid: float | None = None
    kid_floor: float | None = None
    fid: float | None = None
    distance: float | None = None
    copies: float | None = None
    expected: float | None = None
    c_t: float | None = None


class Arm(Record):
    """One arm. baseline: id of the real-only arm it is compared with; None for those."""

    id: str
    label: str
    count: int
    order: Order | None
    augment: Augmented
    source: str | None = None
    strength: Strength = "standard"
    real_images: int
    baseline: str | None
    runs: list[ArmRun]
    effects: list[Effect] = []
    realism: Realism | None = None


class EnsembleScore(Record):
    """The students of all seeds of an arm as one. level: mean of the metric and its interval."""

    arm: str
    method: str
    place: Place
    level: tuple[float, float, float]
    members: int


class Filtered(Record):
    """What became of the samples of one source (one set of real images, one seed)."""

    source: str
    drawn: int
    kept: int
    reasons: dict[str, int]


class Copy(Record):
    """A suspicious sample beside its nearest training image. picture: name of a PNG in the run
    folder's `pictures/`; overlap: Dice of the vessel maps at the best shift, where measured."""

    source: str
    sample: str
    image: str
    distance: float
    overlap: float | None = None
    rejected: str = ""
    picture: str = ""


class Results(Record):
    """The whole. primary: where the question is decided. steps: optimiser steps of every arm."""

    schema_version: int = 1
    name: str
    headline: str
    metric: str
    region: str
    alpha: float
    power: float
    steps: int
    seeds: list[int]
    reseed: str
    primary: Place
    places: list[Place]
    arms: list[Arm]
    references: list[EnsembleScore] = []
    ensembles: list[EnsembleScore] = []
    filters: list[Filtered] = []
    copies: list[Copy] = []


PER_IMAGE = "per_image.csv"
PER_IMAGE_COLUMNS = ("arm", "seed", "set", "observer", "image", "value", "baseline", "difference")
RESULTS = "results.json"
