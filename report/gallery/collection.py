"""The synthetic images of a run, set by set: with labels, figures and why some were rejected."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.data.imageset import ImageRecord, read_index
from vesselforge.engine.artifacts import MANIFEST, read_artifact
from vesselforge.engine.store import Store
from vesselforge.pipeline.record import record_of
from vesselforge.report.formatting import number
from vesselforge.report.pictures import as_jpeg, pair, resized
from vesselforge.report.run.run_reading import View

LABELLED, SCORED = "segmenter.pseudo-label", "generator.score"
"""Kinds of stages: images with labels; how near images are to those of the training."""
ALL, KEPT, REJECTED = "all", "kept", "rejected"
"""What may be shown; the last, too, with a reason: `rejected:copies`."""
LAYERS = ("image", "mask", "soft", "weight")
PAIR, NEAREST = "pair", "nearest"
NO_FIGURES = frozenset({"id", "kept", "reason", "nearest", "suspicious"})
"""Columns of labels.csv that are no numbers to sort by."""
Row = Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """A synthetic image. number: its place in the set, from 0; reason: why it was rejected, empty
    of one that was kept; figures: what was measured of it; nearest: its row of closest.csv, empty
    where nobody looked for the nearest training image."""

    number: int
    record: ImageRecord
    reason: str
    figures: Mapping[str, float]
    nearest: Row

    @property
    def layers(self) -> list[str]:
        """What there is of it, of LAYERS."""
        return [layer for layer in LAYERS if getattr(self.record, layer)]

    def is_shown(self, shown: str) -> bool:
        which, _, word = shown.partition(":")
        alike = not word or self.reason.split(" ")[0] == word
        return alike and (which == ALL or (which == REJECTED) == bool(self.reason))


@dataclass(frozen=True)
class SampleSet:
    """Images with labels. reals: the training images that `nearest` speaks of."""

    view: View
    samples: Sequence[Sample]
    reals: View | None

    @property
    def counts(self) -> dict[str, int]:
        """What may be shown → images."""
        reasons = Counter(one.reason.split(" ")[0] for one in self.samples if one.reason)
        rejected = reasons.total()
        counts = {ALL: len(self.samples), KEPT: len(self.samples) - rejected, REJECTED: rejected}
        return counts | {f"{REJECTED}:{word}": reasons[word] for word in sorted(reasons)}

    @property
    def figures(self) -> list[str]:
        """Names of the figures that images may be sorted by."""
        return list(dict.fromkeys(name for one in self.samples for name in one.figures))

    def chosen(self, shown: str, sort: str) -> list[Sample]:
        """The images to show, in order. shown: of `counts`, or rejected for a reason that none was
        rejected for; sort: a figure, with a minus in front the highest first; as they were drawn
        where they have no such figure. Raises ConfigError for anything else to be shown."""
        if shown.partition(":")[0] not in (ALL, KEPT, REJECTED):
            raise ConfigError(f"shown: found {shown!r}, expected {', '.join(self.counts)}")
        found = [one for one in self.samples if one.is_shown(shown)]
        name, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1
        # Those without the figure come last, whatever the direction.
        return sorted(found, key=lambda one: sign * one.figures.get(name, sign * math.inf))

    def picture(self, place: int, layer: str) -> bytes | None:
        """PNG of a layer; or JPEG of PAIR: the image, and beside it the same under its label; or
        PNG of NEAREST: the nearest view of a training image. None where there is none, or it is
        damaged."""
        if not 0 <= place < len(self.samples):
            return None
        one = self.samples[place]
        if layer in one.layers:
            return self.view.read(getattr(one.record, layer))
        image = self.view.picture(one.record.image)
        if image is not None and layer == PAIR:
            label = self.view.picture(one.record.soft or one.record.mask)
            return as_jpeg(resized(pair(image, label) if label else image, 640))
        if image is None or layer != NEAREST or not one.nearest or self.reals is None:
            return None
        files = (r.image for r in read_index(self.reals.path) if r.id == one.nearest["image"])
        whole = self.reals.picture(next(files, None))
        if whole is None:
            return None
        x, y = int(one.nearest["x"]), int(one.nearest["y"])
        box = x, y, min(x + image.width, whole.width), min(y + image.height, whole.height)
        stream = io.BytesIO()
        whole.crop(box).save(stream, "PNG")
        return stream.getvalue()


def sets_of(run: Path) -> dict[str, str]:
    """Digest → what the run, or study, calls these images, of all sets with labels that it has by
    now. Raises WorkspaceError."""
    steps = record_of(run)["steps"]
    return {step["digest"]: str(step["step"]) for step in steps if step["kind"] == LABELLED}


def open_set(run: Path, digest: str) -> SampleSet:
    """One of them. Raises WorkspaceError for another, and where it is damaged."""
    if digest not in sets_of(run):
        raise WorkspaceError(f"this run has no set of images {digest!r}; choose another one")
    store = Store(run.absolute().parent.parent)
    steps = {step["digest"]: step["kind"] for step in record_of(run)["steps"]}
    folders = {each: store.folder(kind, each) for each, kind in steps.items()}
    there = {each: path for each, path in folders.items() if (path / MANIFEST).is_file()}
    scores = tuple(path for each, path in there.items() if steps[each] == SCORED)
    return _opened(folders[digest], scores, tuple(there.items()))


@lru_cache(maxsize=4)
def _opened(
    folder: Path, scores: tuple[Path, ...], folders: tuple[tuple[str, Path], ...]
) -> SampleSet:
    """A set, read once: artifacts never change. scores: of the run; folders: digest → artifact."""
    view, nearest, reals = _view(folder), dict[str, Row](), None
    asked = {view.digest, view.manifest["inputs"].get("samples")}
    for scored in map(_view, scores):
        if scored.manifest["inputs"].get("samples") in asked:
            nearest = {row["sample"]: row for row in scored.table("closest.csv")}
            reals = dict(folders).get(scored.manifest["inputs"].get("images"))
    table = {row["id"]: row for row in view.table("labels.csv")}
    samples = []
    for place, record in enumerate(read_index(folder)):
        row, near = table.get(record.id, {}), nearest.get(record.id, {})
        figures = {name: number(row[name]) for name in row if name not in NO_FIGURES}
        figures["distance"] = number(near.get("distance"))
        known = {name: value for name, value in figures.items() if value is not None}
        why = "" if record.split != REJECTED else row.get("reason") or "for no known reason"
        samples.append(Sample(place, record, why, known, near))
    return SampleSet(view, samples, None if reals is None else _view(reals))


def _view(folder: Path) -> View:
    found = read_artifact(folder)
    return View(found.path, found.manifest, [])
