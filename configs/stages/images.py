"""Settings of the images: which dataset, how its files are matched, which part of it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vesselforge.configs.base import Settings, operational
from vesselforge.configs.catalogue import DATASETS, OWN, DatasetName

MaskValue = Annotated[
    str, BeforeValidator(lambda key: str(key).lower()), Field(pattern=r"^(#[0-9a-f]{6}|\d{1,5})$")
]
"""A grey value, or a colour."""
SplitName = Literal["train", "validation", "test"]


class PhantomSettings(Settings):
    """Procedural fundus images with exact vessel masks."""

    train: int = Field(16, ge=1, le=10000, description="training images")
    validation: int = Field(4, ge=1, le=10000, description="validation images")
    test: int = Field(8, ge=0, le=10000, description="test images")
    size: int = Field(192, ge=64, le=4096, description="height and width in pixels")
    seed: int = Field(0, ge=0, description="same seed, same images")


class DataSettings(Settings):
    """Which dataset, where, and how its files are matched."""

    name: DatasetName = "phantom"
    """dataset layout; paired: a folder of own images and masks; images: any folder of images, for
    the generator alone"""
    root: Path | None = operational(None)
    """dataset folder; default: its usual name under VESSELFORGE_DATA or ./datasets"""
    folds: int | None = Field(None, ge=2, le=100)
    """cross-validation, of paired, phantom or STARE (5): every image is the test in one of so many
    folds; `run` and `compare` do them all, everything else the one that `fold` names"""
    fold: int | None = Field(None, ge=0, lt=100)
    """which of the folds, counted from 0; STARE has five (four images each), default there: 0"""
    pattern: str | None = None
    """paired only: regular expression with a group `id`, searched in names (sub-folders, then the
    file's stem, joined by -) to match images, masks and FOVs; default: equal names, but for words
    such as _mask"""
    group: str | None = operational(None)
    """paired and images: regular expression with one group, or one named `group`, searched in
    identifiers (else in file stems): images with the same text there, such as both eyes of a
    patient, stay in one split; default: each is its own, or as `splits.csv` says"""
    validation_share: float = Field(0.2, ge=0, lt=1)
    """paired and images: share of training images held back, for validation or to tell copies from
    chance likeness; 0 (images only): none"""
    test_share: float = Field(0.2, ge=0, lt=1)
    """paired only: share of all images kept for the test"""
    mask_values: dict[MaskValue, Literal["vessel", "background", "ignore"]] = Field({})
    """what each value in the masks means, where there are more than two: grey values, 0 to 65535,
    or colours, "#rrggbb" in quotes; pixels with ignore count neither in training nor in scores;
    default: masks have two values, the brighter one is vessel"""
    known_splits: dict[str, SplitName] = operational({})
    """paired only: identifier → split of images that stay where they are; `retrain` gives those of
    its earlier versions"""
    exclude: list[str] = operational([])
    """identifiers of images to leave out (the others are what is hashed)"""
    phantom: PhantomSettings = Field(PhantomSettings(), description="phantom only")

    @model_validator(mode="after")
    def _there_are_images_of_each_kind(self) -> Self:
        if self.mask_values and "vessel" not in self.mask_values.values():
            raise ValueError("mask_values must say which value is vessel")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share must be below 1")
        if self.validation_share == 0 and self.name != "images":
            raise ValueError("validation_share must be above 0: thresholds are chosen there")
        if self.name == "images" and self.root is None:
            raise ValueError("images needs `root`, the folder of the images")
        return self

    @model_validator(mode="before")
    @classmethod
    def _one_of_stares_folds_is_said_in_one_way(cls, values: Any) -> Any:
        """Equal work is to have equal settings: the fold says it all."""
        if isinstance(values, dict) and values.get("name") == "stare" and values.get("folds") == 5:
            return {k: v for k, v in values.items() if k != "folds" or values.get("fold") is None}
        return values

    @model_validator(mode="after")
    def _folds_and_groups_are_those_of_the_layout(self) -> Self:
        own = len(DATASETS[self.name].folds) if self.name in DATASETS else 0
        if (own == 1 or self.name == "images") and (self.folds, self.fold) != (None, None):
            raise ValueError(
                f"folds, fold: {self.name} has none; expected paired, phantom or stare"
            )
        if own > 1 and self.folds not in (None, own):
            raise ValueError(f"folds: {self.name} has {own} of its own, found {self.folds}")
        among = self.folds or own
        if self.fold is not None and not among:
            raise ValueError("fold: of how many is not known; set `folds`, too")
        if self.fold is not None and self.fold >= among:
            raise ValueError(f"fold: found {self.fold}, expected 0 to {among - 1}")
        given = [name for name in ("pattern", "group", "known_splits") if getattr(self, name)]
        if given and self.name not in OWN:
            raise ValueError(f"{given[0]}: {self.name} has names and splits of its own")
        if self.folds is not None and self.known_splits:
            raise ValueError("known_splits: folds are dealt anew; unset one of the two")
        return self

    @property
    def is_cross_validated(self) -> bool:
        """All folds are meant, not a single one."""
        return self.folds is not None and self.fold is None

    def each_fold(self) -> list[DataSettings]:
        """The settings of each fold of a cross-validation, from the first on; else these alone."""
        if not self.is_cross_validated:
            return [self]
        values = self.model_dump()
        return [self.model_validate(values | {"fold": fold}) for fold in range(self.folds or 0)]


class PrepareSettings(Settings):
    """Which part of a dataset becomes an image set; test pixels are an artifact of their own.

    all: every image as a test image, of a set that nothing is trained on.
    """

    data: DataSettings
    part: Literal["development", "test", "all"]


class SubsetSettings(Settings):
    """So many training images of one or several sets; the other splits stay whole."""

    count: int = Field(ge=1, description="training images")
    order: Literal["listed", "drawn"] = "listed"
    """listed: the first ones, as numbered; drawn: by a hash of seed and id, so that smaller subsets
    lie inside larger ones"""
    rest: bool = Field(False, description="drawn: those that are not drawn, without labels")
    seed: int = Field(0, ge=0, description="of drawn")
