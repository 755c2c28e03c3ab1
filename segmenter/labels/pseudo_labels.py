"""Stage `segmenter.pseudo-label`: vessel masks of synthetic images, and which to trust."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import LabelSettings
from vesselforge.data.imageset import ImageRecord, load_image, read_index, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.structure import FIGURES, TreeFigures, tree_figures
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import link_file, write_csv, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.inference.predict import as_png
from vesselforge.segmenter.labels.labeller import Label, Labeller
from vesselforge.segmenter.labels.real_maps import Comparison

CLOSEST, TABLE = "closest.csv", "labels.csv"
COLUMNS = (
    "id", "confidence", "agreement", "vessel_share", *FIGURES, "in_range", "nearest", "distance",
    "suspicious", "kept", "reason",
)  # fmt: skip
REJECTED = "rejected"


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a sample. suspicious: nearer than comes by chance."""

    image: str
    distance: float
    suspicious: bool


@dataclass(frozen=True)
class Figures:
    """What was measured of one labelled image; None where there is nothing to measure it by, or
    nobody asked.

    vessel_share: of the field of view. in_range: whether the map looks like a real one, see
    `real_maps`; it rejects nothing. fault: which figure of the tree is out of the range of
    `real_range` and by how much, empty when none is. confidence, agreement: see `labeller`. reason:
    to reject it, empty when it is good enough.
    """

    id: str
    vessel_share: float
    tree: TreeFigures
    in_range: bool | None = None
    fault: str = ""
    confidence: float | None = None
    agreement: float | None = None
    nearest: Nearest | None = None
    reason: str = ""


def label(settings: LabelSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.pseudo-label`. inputs: `samples` (an image set; with a mask for every image
    unless the labels are the teacher's), `images` (the real prepared set), `teacher` (a model; not
    with `labels: own`), `scores` (of generator.score; with `reject_copies`).

    Writes an image set with hard labels, soft ones where they are the teacher's, and weights if
    there are any; split `train` for kept images and `rejected` for the others, be they all.
    labels.csv has the figures of each image and the reason, empty where a figure was not needed;
    they are of the labels before these are turned, if they are. metrics.json: see `summary`, and
    with `real_range` under that name, `width×height` of the samples → figure → [lowest, highest].
    Raises DataError for unfit inputs, Interrupted when asked to stop (what is written by then is
    written again).
    """
    folder = inputs["samples"].path
    samples = read_index(folder)
    labeller = Labeller(settings, inputs)
    reals = Comparison.read(inputs["images"].path, settings.real_range)
    copies = settings.reject_copies
    nearest = read_nearest(inputs["scores"].path) if copies else {}
    records: list[ImageRecord] = []
    figures: list[Figures] = []
    for done, sample in enumerate(samples, start=1):
        if progress.stop_requested:
            raise Interrupted(f"pseudo-labels: stopped after {done - 1} of {len(samples)} images")
        loaded = load_image(folder, sample)
        made, fov = labeller.label(sample, loaded), loaded.fov
        share, tree = float(made.mask[fov].mean()), tree_figures(made.mask)
        one = Figures(
            sample.id,
            share,
            tree,
            reals.like_real(tree, share, fov),
            reals.fault(tree, (fov.shape[0], fov.shape[1])),
            made.confidence,
            made.agreement,
            nearest[sample.id] if copies else None,
        )
        one = replace(one, reason=why_rejected(one, settings))
        figures.append(one)
        made = made.turned(fov) if settings.turned_masks else made
        image = f"images/{sample.id}{Path(sample.image).suffix}"
        records.append(_write(out, one, made, fov, image))
        link_file(folder / sample.image, out / image)
        progress.update(done, len(samples), "image")
    if reals.why:
        progress.message(f"vessel maps were not compared with real ones: {reals.why}")
    ranges = {f"{w}×{h}": each.as_json() for (h, w), each in reals.ranges.items()}
    write_csv(out / TABLE, as_table(figures))
    write_json(out / METRICS, summary(figures) | ({"real_range": ranges} if ranges else {}))
    write_index(out, "pseudo-labelled", records)


def read_nearest(folder: Path) -> dict[str, Nearest]:
    """Sample → its nearest training image. Raises DataError where the scores could not say what is
    suspicious."""
    path = folder / CLOSEST
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["sample"]: _nearest(path, row) for row in csv.DictReader(stream)}


def _nearest(path: Path, row: dict[str, str]) -> Nearest:
    if row["suspicious"] not in ("0", "1"):
        raise DataError(
            f"{path}: found {row['suspicious']!r} as `suspicious` of {row['sample']}, expected "
            "0 or 1; what is suspicious is known where the set has validation images to "
            "compare with; add some or set pseudo_label.reject_copies to false"
        )
    return Nearest(row["image"], float(row["distance"]), row["suspicious"] == "1")


def why_rejected(one: Figures, settings: LabelSettings) -> str:
    """The reason to reject an image, or an empty string: a sentence whose first word names the
    filter, fit for counting, of the first that rejects it. The settings say what each filter does;
    one whose figure was not measured is off."""
    share, sure, agreed, near = one.vessel_share, one.confidence, one.agreement, one.nearest
    if share < settings.min_vessel_share:
        return f"vessel-share {share:.4f} is below {settings.min_vessel_share:g}"
    if share > settings.max_vessel_share:
        return f"vessel-share {share:.4f} is above {settings.max_vessel_share:g}"
    if sure is not None and sure < settings.min_confidence:
        return f"confidence {sure:.3f} is below {settings.min_confidence:g}"
    if agreed is not None and agreed < settings.min_agreement:
        return f"agreement {agreed:.3f} is below {settings.min_agreement:g}"
    if one.fault:
        return f"real-range {one.fault}"
    if near is not None and near.suspicious:
        return f"copies {near.image}: distance {near.distance:.4g} is less than comes by chance"
    return ""


def summary(figures: Sequence[Figures]) -> dict[str, object]:
    """Counts of drawn, kept and rejected images, these by the first word of the reason; means of
    the kept: mean_confidence (None when none is kept or no teacher was asked), and where measured
    mean_agreement. vessel_share: means over `all` images and over the `kept`; in_range: the share
    of either whose map is like a real one, None unless every image was compared."""
    kept = [one for one in figures if not one.reason]
    both = {"all": figures, "kept": kept}
    judged = all(one.in_range is not None for one in figures)
    facts: dict[str, object] = {
        "drawn": len(figures),
        "kept": len(kept),
        "rejected": len(figures) - len(kept),
        "reasons": dict(Counter(one.reason.split(" ")[0] for one in figures if one.reason)),
        "mean_confidence": _mean([one.confidence for one in kept]),
        "vessel_share": {w: _mean([o.vessel_share for o in of], 6) for w, of in both.items()},
        "in_range": {w: _mean([o.in_range for o in of if judged], 6) for w, of in both.items()},
    }
    if any(one.agreement is not None for one in figures):
        facts["mean_agreement"] = _mean([one.agreement for one in kept])
    return facts


def as_table(figures: Sequence[Figures]) -> list[Sequence[Any]]:
    """labels.csv: COLUMNS, then a row for each image, in the order of the samples; cells of what
    was not measured are None. in_range, kept and suspicious are 0 or 1."""
    rows: list[Sequence[Any]] = [COLUMNS]
    for one in figures:
        row: dict[str, object] = {"id": one.id, "kept": int(not one.reason), "reason": one.reason}
        known = {n: getattr(one, n) for n in ("confidence", "agreement", "vessel_share")}
        row |= {name: f"{value:.4f}" for name, value in known.items() if value is not None}
        row |= {name: f"{getattr(one.tree, name):.6g}" for name in FIGURES}
        if one.in_range is not None:
            row["in_range"] = int(one.in_range)
        if (near := one.nearest) is not None:
            row |= {"nearest": near.image, "distance": f"{near.distance:.6g}"}
            row["suspicious"] = int(near.suspicious)
        rows.append([row.get(column) for column in COLUMNS])
    return rows


def _mean(values: Sequence[float | None], digits: int = 4) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), digits) if known else None


def _write(out: Path, one: Figures, made: Label, fov: NDArray[np.bool_], image: str) -> ImageRecord:
    """Write an image's labels and weights; its record names them, and where the image belongs."""
    layers = {"masks": made.mask.astype(np.uint8) * 255, "fov": fov.astype(np.uint8) * 255}
    maps = {"soft": made.soft, "weights": made.weight}
    layers |= {name: as_png(each) for name, each in maps.items() if each is not None}
    names = {layer: f"{layer}/{one.id}.png" for layer in layers}
    for layer, pixels in layers.items():
        write_png(out / names[layer], pixels)
    return ImageRecord(
        id=one.id,
        split=REJECTED if one.reason else TRAIN,
        image=image,
        mask=names["masks"],
        soft=names.get("soft"),
        fov=names["fov"],
        confidence=None if one.confidence is None else round(one.confidence, 4),
        weight=names.get("weights"),
    )
