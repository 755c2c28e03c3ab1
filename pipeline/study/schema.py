"""What a study found, as `results.json` in its run folder: all that its page and tables show."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vesselforge.configs.statistics import Metric
from vesselforge.configs.study import Order, Strength
from vesselforge.engine.documents import read_valid


class Record(BaseModel):
    """Base: read back as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Record):
    """What a metric was measured on: a set of test images, by whose drawings."""

    set: str
    observer: str


class Endpoint(Record):
    """Where the question is decided. sets: whose images stand together at its place, which is the
    set's own where it is one, and named as the endpoint where they are several."""

    name: str
    place: Place
    sets: list[str]


class Effect(Record):
    """An arm minus another with the same seeds, on one place. In units of the metric.

    against: id of the other arm; empty where the arm has a level alone.
    level: mean of the metric itself over seeds and images, with its interval.
    mean, low, high: mean paired difference and its 95 % interval (1 − alpha in general).
    by_seed: mean difference of each seed, in the order of the arm's completed seeds.
    p_images: Wilcoxon signed-rank over images, of differences averaged over seeds.
    p_seeds: of the crossed random-effects test, for which seeds are a sample too.
    p_holm: the larger of the two after Holm's correction over the comparisons of its place, those
    with real-only arms together, those with each other arm by themselves; None without enough data.
    p_primary: of a primary arm at an endpoint, after Holm's correction over all of those.
    detectable: smallest mean difference that would have been found with the power asked for.
    """

    place: Place
    against: str = ""
    level: tuple[float, float, float]
    seeds: int
    images: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    by_seed: list[float] = []
    sd_seeds: float | None = None
    p_images: float | None = None
    p_seeds: float | None = None
    p_holm: float | None = None
    p_primary: float | None = None
    detectable: float | None = None
    verdict: Literal["gain", "harm", "none shown", "untested"] = "untested"

    @property
    def p(self) -> float | None:
        """The one that the verdict goes by."""
        return self.p_holm if self.p_primary is None else self.p_primary


class Secondary(Effect):
    """What an arm did by another metric, against its real-only arm."""

    metric: Metric
    arm: str


class Realism(Record):
    """Synthetic images against the real ones, also by the names that `generator.score` has.

    kid, kid_floor: of synthetic and of other real images; kid_std, kid_floor_std: their standard
    deviations over resamplings. distance: median distance to the nearest training image, in units
    of the held-out images' median. copies: share that is suspiciously near; expected: of new
    images. c_t: Meehan's C_T statistic; far below 0 where samples are nearer than held-out images
    are.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    kid: float | None = Field(None, alias="kid_mean")
    kid_std: float | None = None
    kid_floor: float | None = Field(None, alias="kid_floor_mean")
    kid_floor_std: float | None = None
    distance: float | None = Field(None, alias="relative_distance")
    copies: float | None = Field(None, alias="copy_ratio")
    expected: float | None = Field(None, alias="copy_expected")
    c_t: float | None = None


class TrainedModel(Record):
    """What is known of a student from its validation images."""

    validation_f1: float | None = None
    threshold: float | None = None


class ArmRun(TrainedModel):
    """One arm with one seed. message: why it failed. folds: of a cross-validation the student of
    each, in place of the single one's figures."""

    seed: int
    status: Literal["completed", "failed"]
    message: str = ""
    folds: list[TrainedModel] = []


class Arm(Record):
    """One arm.

    name: of a named one. labels: whose masks its synthetic images have. longer: times the steps of
    the others. baseline: id of the real-only arm it is compared with, None for those themselves;
    effects are against that. against: ids of the further arms it is compared with, which need not
    be in the study; controls are those effects, arm by arm.
    """

    id: str
    label: str
    name: str = ""
    count: int
    order: Order | None
    source: str | None = None
    labels: str = ""
    strength: Strength = "standard"
    longer: float = 1.0
    real_images: int
    baseline: str | None
    against: list[str] = []
    runs: list[ArmRun]
    effects: list[Effect] = []
    controls: list[Effect] = []

    @property
    def short(self) -> str:
        """Its name, or what it is."""
        return self.name or self.label


class SyntheticImages(Record):
    """What one source gave, for one number of real images, one seed and, of a cross-validation, one
    fold; origin: that in words.

    photographs: whether they are real images. reasons: why how many of `drawn` were not `kept`.
    in_range, kept_in_range: how many of either have vessel maps like real ones, None where that was
    not asked. untrained: what is wrong with a generator that was hardly trained. realism: of the
    largest selection that an arm was trained on.
    """

    origin: str
    source: str
    real_images: int
    seed: int
    photographs: bool = False
    drawn: int
    kept: int
    reasons: dict[str, int]
    in_range: int | None = None
    kept_in_range: int | None = None
    untrained: str = ""
    realism: Realism | None = None


class Samples(Record):
    """A few images of one source with their masks. picture: name of a PNG beside results.json,
    empty where none is shown; caption: which images these are, or why none is shown. nearest: name
    of a PNG of samples beside the training images nearest to them, which stays in the workspace."""

    source: str
    picture: str = Field("", pattern=r"^(samples-[\w.-]+\.png)?$")
    caption: str
    nearest: str = Field("", pattern=r"^(nearest-[\w.-]+\.png)?$")


class Results(Record):
    """The whole.

    endpoints: where the question is decided, one at least; primary_arms: ids of those that decide
    it; declared: whether either was said in advance. steps: optimiser steps of every arm. folds: of
    a cross-validation the training images of each; an image then counts by the models of the fold
    that tested it, one of a further dataset by the mean over the models of all folds. content: hash
    of each dataset, in each fold. notes: what readers should know of how it came about. warned:
    what the check of the images warned of, a line for each dataset.
    """

    schema_version: Literal[4] = 4
    name: str
    headline: str
    metric: Metric
    region: Literal["fov", "whole"]
    alpha: float
    power: float
    steps: int
    seeds: list[int]
    reseed: Literal["students", "samples", "all"]
    folds: list[int] = []
    declared: bool = False
    endpoints: list[Endpoint] = Field(min_length=1)
    primary_arms: list[str] = []
    places: list[Place]
    arms: list[Arm]
    secondary: list[Secondary] = []
    synthetic: list[SyntheticImages] = []
    samples: list[Samples] = []
    content: dict[str, str] = {}
    notes: list[str] = []
    warned: list[str] = []

    @property
    def primary(self) -> Place:
        """The first endpoint's."""
        return self.endpoints[0].place


PER_IMAGE = "per_image.csv"
"""A line for each run, place and image; every metric in a column of its name."""
PER_IMAGE_COLUMNS = ("arm", "seed", "set", "observer", "image")
RESULTS = "results.json"


def read_results(path: Path) -> Results:
    """results.json of a study. Raises WorkspaceError when it is absent or anything else."""
    expected = (
        "the results of a study in its run folder, which `vesselforge compare` of this version "
        "writes; run it again, finished stages are not repeated"
    )
    return read_valid(path, Results, expected)
