"""Stage `segmenter.pseudo-label`: vessel masks of synthetic images, and which to trust."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import LabelSettings
from vesselforge.data.imageset import (
    ImageRecord,
    link_file,
    load_image,
    read_index,
    write_index,
    write_png,
)
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.structure import FIGURES
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import write_atomic, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.inference.predict import as_png
from vesselforge.segmenter.labels.filters import Figures, Nearest, why_rejected
from vesselforge.segmenter.labels.labeller import Label, Labeller, check_masks
from vesselforge.segmenter.labels.real_maps import Comparison

CLOSEST, TABLE = "closest.csv", "labels.csv"
COLUMNS = (
    "id", "confidence", "agreement", "vessel_share", *FIGURES, "in_range", "nearest", "distance",
    "suspicious", "kept", "reason",
)  # fmt: skip
REJECTED = "rejected"
WHO = {
    "images": "the real prepared set, needed by real_range",
    "scores": "scores of the samples, needed by reject_copies",
}


def label(settings: LabelSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.pseudo-label`. inputs: `samples` (an image set; with a mask for every image
    unless the labels are the teacher's) and `teacher` (a model; not with `labels: own`); `images`
    (the real prepared set: no map is compared without, nor can `real_range` be met); `scores` (of
    generator.score) with `reject_copies`.

    Writes an image set with hard labels, soft ones where they are the teacher's, and weights if
    there are any; split `train` for kept images and `rejected` for the others, be they all.
    labels.csv has the figures of each image and the reason, empty where a figure was not needed;
    they are of the labels before these are turned, if they are. metrics.json: see `summary`. Raises
    DataError for missing or unfit inputs, Interrupted when asked to stop (what is written by then
    is written again).
    """
    folder = inputs["samples"].path
    samples = read_index(folder)
    check_masks(settings, folder, samples)
    labeller = Labeller(settings, inputs)
    scores = needed(inputs, "scores", settings.reject_copies)
    nearest = None if scores is None else read_nearest(scores)
    compared = settings.real_range is not None or "images" in inputs
    reals = Comparison.read(settings, needed(inputs, "images", compared))
    records: list[ImageRecord] = []
    figures: list[Figures] = []
    for done, sample in enumerate(samples, start=1):
        if progress.stop_requested:
            raise Interrupted(f"pseudo-labels: stopped after {done - 1} of {len(samples)} images")
        loaded = load_image(folder, sample)
        made = labeller.label(sample, loaded)
        measured = reals.add(made.figures, made.mask, loaded.fov)
        if nearest is not None:
            if sample.id not in nearest:
                raise DataError(
                    f"{scores}: found no scores of sample {sample.id!r}, expected those of every "
                    "sample; score the set of samples that is to be labelled"
                )
            measured = replace(measured, nearest=nearest[sample.id])
        figures.append(measured)
        if settings.turned_masks:
            made = made.turned(loaded.fov)
        record = _write(out, sample, made, loaded.fov)
        link_file(folder / sample.image, out / record.image)
        records.append(record)
        progress.update(done, len(samples), "image")
    if reals.why:
        progress.message(f"vessel maps were not compared with real ones: {reals.why}")
    reasons = [why_rejected(figure, settings) for figure in figures]
    records = [
        replace(
            record,
            split=REJECTED if reason else TRAIN,
            confidence=None if figure.confidence is None else round(figure.confidence, 4),
        )
        for record, figure, reason in zip(records, figures, reasons, strict=True)
    ]
    write_atomic(out / TABLE, as_table(figures, reasons))
    write_json(out / METRICS, summary(figures, reasons) | reals.facts())
    write_index(out, "pseudo-labelled", records)


def needed(inputs: Inputs, name: str, wanted: bool) -> Path | None:
    """The folder of an input, None when it is not wanted. Raises DataError when it is missing."""
    if not wanted:
        return None
    if name not in inputs:
        raise DataError(
            f"pseudo_label: found no input {name!r}, expected {WHO[name]}; give it, or switch "
            "those filters off"
        )
    return inputs[name].path


def read_nearest(folder: Path) -> dict[str, Nearest]:
    """Sample → its nearest training image. Raises DataError for a missing table, and where the
    scores could not say what is suspicious."""
    path = folder / CLOSEST
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, needed by pseudo_label.reject_copies; score the samples so "
            "that it is written, or switch the filter off"
        )
    with path.open(newline="") as stream:
        return {row["sample"]: _nearest(path, row) for row in csv.DictReader(stream)}


def _nearest(path: Path, row: dict[str, str]) -> Nearest:
    if row["suspicious"] not in ("0", "1"):
        raise DataError(
            f"{path}: found {row['suspicious']!r} as `suspicious` of {row['sample']}, expected "
            "0 or 1; what is suspicious is known where the set has validation images to "
            "compare with; add some or set pseudo_label.reject_copies to false"
        )
    return Nearest(row["image"], float(row["distance"]), row["suspicious"] == "1")


def summary(figures: Sequence[Figures], reasons: Sequence[str]) -> dict[str, object]:
    """Counts of drawn, kept and rejected images, these by the first word of the reason; means of
    the kept: mean_confidence (None when none is kept or no teacher was asked), and where measured
    mean_agreement. vessel_share: means over `all` images and over the `kept`; in_range: the share
    of either whose map is like a real one, None unless every image was compared."""
    kept = [one for one, reason in zip(figures, reasons, strict=True) if not reason]
    words = Counter(reason.split(" ")[0] for reason in reasons if reason)
    facts: dict[str, object] = {
        "drawn": len(figures),
        "kept": len(kept),
        "rejected": len(figures) - len(kept),
        "reasons": dict(words),
    }
    for name in ("confidence", "agreement"):
        if name == "confidence" or any(getattr(one, name) is not None for one in figures):
            facts[f"mean_{name}"] = _mean([getattr(one, name) for one in kept])
    both = {"all": figures, "kept": kept}
    facts["vessel_share"] = {w: _mean([o.vessel_share for o in of], 6) for w, of in both.items()}
    judged = all(one.in_range is not None for one in figures)
    ranges = {w: [o.in_range for o in of] if judged else [] for w, of in both.items()}
    facts["in_range"] = {which: _mean(values, 6) for which, values in ranges.items()}
    return facts


def as_table(figures: Sequence[Figures], reasons: Sequence[str]) -> str:
    """labels.csv: a row for each image with COLUMNS, in the order of the samples; cells of what was
    not measured are empty. in_range, kept and suspicious are 0 or 1."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for one, reason in zip(figures, reasons, strict=True):
        row: dict[str, object] = {"id": one.id, "kept": int(not reason), "reason": reason}
        known = {n: getattr(one, n) for n in ("confidence", "agreement", "vessel_share")}
        row |= {name: f"{value:.4f}" for name, value in known.items() if value is not None}
        if one.tree is not None:
            row |= {name: f"{getattr(one.tree, name):.6g}" for name in FIGURES}
        if one.in_range is not None:
            row["in_range"] = int(one.in_range)
        if (near := one.nearest) is not None:
            row |= {"nearest": near.image, "distance": f"{near.distance:.6g}"}
            row["suspicious"] = int(near.suspicious)
        writer.writerow(row)
    return text.getvalue()


def _mean(values: Sequence[float | None], digits: int = 4) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), digits) if known else None


def _write(out: Path, sample: ImageRecord, made: Label, fov: NDArray[np.bool_]) -> ImageRecord:
    """Write an image's labels and weights; its record names them, and where the image belongs."""
    name = f"{sample.id}.png"
    layers = {"masks": made.mask.astype(np.uint8) * 255, "fov": fov.astype(np.uint8) * 255}
    layers |= {} if made.soft is None else {"soft": as_png(made.soft)}
    layers |= {} if made.weight is None else {"weights": as_png(made.weight)}
    for folder, pixels in layers.items():
        write_png(out / folder / name, pixels)
    return ImageRecord(
        id=sample.id,
        split=REJECTED,
        image=f"images/{sample.id}{Path(sample.image).suffix}",
        mask=f"masks/{name}",
        soft=f"soft/{name}" if "soft" in layers else None,
        fov=f"fov/{name}",
        weight=f"weights/{name}" if "weights" in layers else None,
    )
