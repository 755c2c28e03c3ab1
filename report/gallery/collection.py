"""The synthetic images of a run, set by set: with labels, figures and why some were rejected."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.data.imageset import ImageRecord, read_index
from vesselforge.engine.artifacts import MANIFEST, read_artifact
from vesselforge.engine.store import Store
from vesselforge.pipeline.record import record_of
from vesselforge.report.formatting import number
from vesselforge.report.pictures import as_jpeg, pair, resized
from vesselforge.report.run.run_reading import View

LABELLED, SCORED, DRAWN = (
    "segmenter.pseudo-label",
    "generator.score",
    ("generator.sample", "data.phantom"),
)
"""Kinds of stages: images with labels, scores of images, images as they were drawn."""
ALL, KEPT, REJECTED = "all", "kept", "rejected"
"""What may be shown; the last, too, with a reason: `rejected:copies`."""
LAYERS = ("image", "mask", "soft", "weight")
PAIR, NEAREST = "pair", "nearest"
PAGE = 24
"""Images on a page."""
NO_FIGURES = frozenset({"id", "kept", "reason", "nearest", "suspicious"})
"""Columns of labels.csv that are no numbers to sort by."""


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a sample. corner: (y, x) of the view of it, None where only the
    image is known; turned: whether the two are alike when one is mirrored or turned."""

    image: str
    distance: float | None
    suspicious: bool
    corner: tuple[int, int] | None = None
    turned: bool = False


@dataclass(frozen=True)
class Sample:
    """A synthetic image. number: its place in the set, from 0; kept: None where nobody judged it;
    reason: why it was rejected; figures: what was measured of it."""

    number: int
    record: ImageRecord
    kept: bool | None
    reason: str
    figures: Mapping[str, float]
    nearest: Nearest | None

    @property
    def layers(self) -> list[str]:
        """What there is of it, of LAYERS."""
        return [layer for layer in LAYERS if getattr(self.record, layer)]


@dataclass(frozen=True)
class SampleSet:
    """The images of one artifact. reals: the training images that `nearest` speaks of."""

    view: View
    samples: Sequence[Sample]
    reals: View | None

    @property
    def counts(self) -> dict[str, int]:
        """What may be shown → images."""
        counts = {ALL: len(self.samples)}
        if any(one.kept is not None for one in self.samples):
            rejected = Counter(one.reason.split(" ")[0] for one in self.samples if not one.kept)
            counts |= {KEPT: len(self.samples) - rejected.total(), REJECTED: rejected.total()}
            counts |= {f"{REJECTED}:{word}": n for word, n in sorted(rejected.items()) if word}
        return counts

    @property
    def figures(self) -> list[str]:
        """Names of the figures that images may be sorted by."""
        return list(dict.fromkeys(name for one in self.samples for name in one.figures))

    def chosen(self, shown: str, sort: str) -> list[Sample]:
        """The images to show, in order. shown: of `counts`, or rejected for a reason that none was
        rejected for; sort: a figure, with a minus in front the highest first; as they were drawn
        where they have no such figure. Raises ConfigError for anything else to be shown."""
        which, _, reason = shown.partition(":")
        if which not in (ALL, KEPT, REJECTED):
            raise ConfigError(f"shown: found {shown!r}, expected {', '.join(self.counts)}")
        wanted = {ALL: (True, False, None), KEPT: (True,), REJECTED: (False,)}[which]
        found = [one for one in self.samples if one.kept in wanted]
        found = [one for one in found if not reason or one.reason.split(" ")[0] == reason]
        name, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1
        # Those without the figure come last, whatever the direction.
        return sorted(found, key=lambda one: sign * one.figures.get(name, sign * math.inf))

    def picture(self, place: int, layer: str) -> bytes | None:
        """PNG of a layer; or JPEG of PAIR: the image, and beside it the same under its label; or of
        NEAREST, the training image. None where there is none, or it is damaged."""
        if not 0 <= place < len(self.samples):
            return None
        one = self.samples[place]
        if layer in LAYERS:
            name = getattr(one.record, layer)
            return self.view.read(name) if name else None
        image = self.view.picture(one.record.image)
        if image is None or layer not in (PAIR, NEAREST):
            return None
        if layer == PAIR:
            label = self.view.picture(one.record.soft or one.record.mask)
            both = resized(pair(image, label), 640) if label else resized(image, 320)
            return as_jpeg(both)
        return self._nearest(one.nearest, *image.size)

    def _nearest(self, near: Nearest | None, width: int, height: int) -> bytes | None:
        """The view of a training image that is nearest to a sample of this size."""
        if near is None or self.reals is None:
            return None
        files = (r.image for r in read_index(self.reals.path) if r.id == near.image)
        whole = self.reals.picture(next(files, None))
        if whole is None:
            return None
        if near.corner is not None:
            y, x = near.corner
            whole = whole.crop((x, y, min(x + width, whole.width), min(y + height, whole.height)))
        stream = io.BytesIO()
        whole.save(stream, "PNG")
        return stream.getvalue()


@dataclass(frozen=True)
class Collection:
    """All sets of a run's synthetic images. record: its run.json; sets: digest → (kind, what the
    run calls it)."""

    store: Store
    record: Mapping[str, Any]
    sets: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, run: Path) -> Collection:
        """What a run, or a study, has by now. Raises WorkspaceError."""
        record = record_of(run)
        steps = {step["digest"]: (step["kind"], str(step["step"])) for step in record["steps"]}
        labelled = {digest: each for digest, each in steps.items() if each[0] == LABELLED}
        drawn = {digest: each for digest, each in steps.items() if each[0] in DRAWN}
        return cls(Store(run.absolute().parent.parent), record, labelled or drawn)

    def open(self, digest: str) -> SampleSet:
        """A set. Raises WorkspaceError where the run has none of this digest, or it is damaged."""
        if digest not in self.sets:
            raise WorkspaceError(f"this run has no set of images {digest!r}; choose another one")
        steps = {step["digest"]: step["kind"] for step in self.record["steps"]}
        folders = {each: self.store.folder(kind, each) for each, kind in steps.items()}
        there = {each: path for each, path in folders.items() if (path / MANIFEST).is_file()}
        scores = tuple(path for each, path in there.items() if steps[each] == SCORED)
        return _opened(folders[digest], scores, tuple(there.items()))


@lru_cache(maxsize=4)
def _opened(
    folder: Path, scores: tuple[Path, ...], folders: tuple[tuple[str, Path], ...]
) -> SampleSet:
    """A set, read once: artifacts never change. scores: of the run; folders: digest → artifact."""
    view = _view(folder)
    nearest, reals = _closest(view, scores)
    table = {row["id"]: row for row in view.table("labels.csv")}
    judged = view.kind == LABELLED
    samples = []
    for place, record in enumerate(read_index(folder)):
        row = table.get(record.id, {})
        near = nearest.get(record.id)
        if near is None and row.get("nearest"):
            suspicious = row.get("suspicious") == "1"
            near = Nearest(row["nearest"], number(row.get("distance")), suspicious)
        figures = {name: number(row[name]) for name in row if name not in NO_FIGURES}
        figures |= {"distance": near.distance} if near else {}
        known = {name: value for name, value in figures.items() if value is not None}
        kept = record.split != REJECTED if judged else None
        samples.append(Sample(place, record, kept, row.get("reason") or "", known, near))
    where = dict(folders).get(str(reals or view.manifest["inputs"].get("images")))
    return SampleSet(view, samples, None if where is None else _view(where))


def _closest(view: View, scores: Sequence[Path]) -> tuple[dict[str, Nearest], str | None]:
    """Sample → nearest training image, as the scores of these images say; and the digest of the
    training images that they were held against."""
    asked = {view.digest, view.manifest["inputs"].get("samples")}
    for folder in scores:
        scored = _view(folder)
        if scored.manifest["inputs"].get("samples") in asked:
            rows = scored.table("closest.csv")
            found = {row["sample"]: _read_nearest(row) for row in rows}
            return found, scored.manifest["inputs"].get("images")
    return {}, None


def _read_nearest(row: Mapping[str, str]) -> Nearest:
    corner = int(row["y"]), int(row["x"])
    suspicious, turned = row["suspicious"] == "1", row["turned"] != "0"
    return Nearest(row["image"], number(row["distance"]), suspicious, corner, turned)


def _view(folder: Path) -> View:
    found = read_artifact(folder)
    return View(found.path, found.manifest, [])
