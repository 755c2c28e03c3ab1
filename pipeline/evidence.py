"""Whether there is anything to learn from synthetic images, in words that every output uses.

A GAN that has not learnt vessels makes fog; its distances to real images may be small all the same,
and a teacher finds a few specks in it. What tells is whether the vessel maps are like real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from vesselforge.data.imageset import PHOTOGRAPHS

FEWEST = 20
"""Images below which a share says little: of 20, none in range, the true share is below 14 % (95 %
confidence)."""
NO_VESSELS = 0.02
"""Share in range below which a set shows no vessels: of real windows that much lies outside."""
HARDLY_ANY = 0.2
"""Share in range below which most of a set is noise; of real windows 0.96 to 0.98 are in range."""
TRAINED = 1.0
"""Thousands of images below which a generator has hardly left its random weights."""

VERDICTS = {
    "none": "The synthetic images show no vessels",
    "hardly any": "Hardly any of the synthetic images show vessels",
}
STARTS = ("start", "start_from")
"""Inputs of a training that began with other weights."""


@dataclass(frozen=True)
class Evidence:
    """How many of the drawn and of the kept images have vessel maps like real ones."""

    drawn: int
    drawn_in_range: int
    kept: int
    kept_in_range: int

    @staticmethod
    def of(labelled: Mapping[str, Any], samples: str) -> Evidence | None:
        """From the metrics of `segmenter.pseudo-label`; None where its images are real, or were not
        compared with real ones. samples: kind of the stage that made the images."""
        share = labelled.get("in_range") or {}
        drawn, kept = labelled.get("drawn", 0), labelled.get("kept", 0)
        if samples in PHOTOGRAPHS or share.get("all") is None:
            return None
        kept_in_range = round((share.get("kept") or 0) * kept)
        return Evidence(drawn, round(share["all"] * drawn), kept, kept_in_range)

    @staticmethod
    def total(sets: Iterable[Evidence | None]) -> Evidence | None:
        """Sets that were made alike, as one; None where there is none, or one is not known."""
        counts = [None if one is None else astuple(one) for one in sets]
        if not counts or None in counts:
            return None
        return Evidence(*map(sum, zip(*counts, strict=True)))

    @property
    def in_short(self) -> str:
        """Whether they show vessels, in a word or two, for a table."""
        return "too few to say" if self.drawn < FEWEST else amount(self.drawn_in_range, self.drawn)

    @property
    def verdict(self) -> str:
        """In a few words; empty where enough images show vessels, or fewer than FEWEST say so."""
        return VERDICTS.get(self.in_short, "")

    @property
    def sentence(self) -> str:
        """The verdict, the counts, and what follows; empty like the verdict."""
        if not self.verdict:
            return ""
        learnt = {
            "none": "what a student learns from them is noise",
            "hardly any": "most of what a student learns from them is noise",
        }.get(
            amount(self.kept_in_range, self.kept),
            f"of the {self.kept:,} that were kept, {self.kept_in_range:,} pass",
        )
        if self.kept == 0:
            learnt = "none was kept, so there is nothing to train a student on"
        return (
            f"{self.verdict}: {self.drawn_in_range:,} of {self.drawn:,} pass (their vessel maps "
            f"are in the range of real ones); {learnt}."
        )


def amount(in_range: int, images: int) -> str:
    """How many of the images show vessels: `none`, `hardly any` or `enough`."""
    if in_range < NO_VESSELS * images:
        return "none"
    return "hardly any" if in_range < HARDLY_ANY * images else "enough"


def untrained(metrics: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """What is wrong with a generator that was hardly trained, such as `untrained: its weights saw
    0.1 kimg`; empty otherwise, and for one that started from the weights of another. metrics,
    inputs: of its `generator.train`, with what it read from outside the store."""
    kimg = metrics.get("delivered_kimg", metrics.get("kimg"))
    if inputs.keys() & set(STARTS) or not isinstance(kimg, int | float) or kimg >= TRAINED:
        return ""
    return f"untrained: its weights saw {kimg:.2g} kimg"
