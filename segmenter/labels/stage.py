"""Stage `segmenter.pseudo-label`: the teachers' vessel maps of synthetic images, and which to
trust."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError
from configs.settings import PseudoLabelSettings
from data.files import write_atomic, write_json
from data.imageset import (
    ImageRecord,
    LoadedImage,
    link_file,
    load_image,
    read_index,
    write_index,
    write_png,
)
from data.progress import Interrupted, Progress
from data.splits import TRAIN
from data.store import METRICS, Inputs
from data.structure import FIGURES
from segmenter.inference.predict import as_png
from segmenter.labels.compare import Comparison
from segmenter.labels.filters import Figures, reject
from segmenter.labels.scores import Scores
from segmenter.labels.teachers import (
    Said,
    Teachers,
    agreement,
    certainty,
    expected_dice,
    uncertainty,
)

TABLE = "labels.csv"
COLUMNS = (
    "id", "confidence", "vessel_share", *FIGURES, "nearest", "distance", "suspicious", "overlap",
    "overlap_image", "uncertainty", "critic", "kept", "reason",
)  # fmt: skip
FIXED = ("confidence", "vessel_share", "overlap", "uncertainty")
"""Columns in [0, 1] or nearly, written to four digits."""
REJECTED = "rejected"
WHO = {
    "images": "the real prepared set, needed by real_range and max_overlap",
    "scores": "scores of the samples, needed by reject_copies and worst_critic",
}


def label(settings: PseudoLabelSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.pseudo-label`. inputs: `samples` (an image set) and `teacher` (a model);
    `teacher-2`, … with `disagreement: teachers`; `images` (the real prepared set) where
    settings.needs_real_masks; `scores` (of generator.score) where settings.needs_scores.

    Writes an image set with soft and hard labels, and weights if asked for; split `train` for kept
    images and `rejected` for the others, be they all. labels.csv has the figures of each image and
    the reason, empty where a figure was not needed. metrics.json: see `summary`. Raises
    DataError for missing or unfit inputs, Interrupted when asked to stop (what is written by then
    is written again).
    """
    teachers = Teachers(settings, inputs)
    scores = Scores.read(settings, needed(inputs, "scores", settings.needs_scores))
    reals = Comparison.read(settings, needed(inputs, "images", settings.needs_real_masks))
    folder = inputs["samples"].path
    samples = read_index(folder)
    records: list[ImageRecord] = []
    figures: list[Figures] = []
    for done, sample in enumerate(samples, start=1):
        if progress.stop_requested:
            raise Interrupted(f"pseudo-labels: stopped after {done - 1} of {len(samples)} images")
        loaded = load_image(folder, sample)
        said = _inside(teachers.ask(loaded.image), loaded.fov)
        mask = said.prob >= teachers.threshold
        figures.append(scores.add(reals.add(_figures(loaded, said, mask), mask)))
        record = _write(out, sample, said, mask, loaded.fov, settings.pixel_weights)
        link_file(folder / sample.image, out / record.image)
        records.append(record)
        progress.update(done, len(samples), "image")
    reasons = reject(figures, settings)
    records = [
        replace(
            record,
            split=REJECTED if reason else TRAIN,
            confidence=round(figure.confidence, 4),
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


def summary(figures: Sequence[Figures], reasons: Sequence[str]) -> dict[str, object]:
    """Counts of drawn, kept and rejected images, these by the first word of the reason; means of
    the kept: mean_confidence, and where measured mean_uncertainty (None when none is kept)."""
    kept = [one for one, reason in zip(figures, reasons, strict=True) if not reason]
    words = Counter(reason.split(" ")[0] for reason in reasons if reason)
    facts: dict[str, object] = {
        "drawn": len(figures),
        "kept": len(kept),
        "rejected": len(figures) - len(kept),
        "reasons": dict(words),
        "mean_confidence": _mean([one.confidence for one in kept]),
    }
    if any(one.uncertainty is not None for one in figures):
        known = [one.uncertainty for one in kept if one.uncertainty is not None]
        facts["mean_uncertainty"] = _mean(known)
    return facts


def as_table(figures: Sequence[Figures], reasons: Sequence[str]) -> str:
    """labels.csv: a row for each image with COLUMNS, in the order of the samples; cells of what was
    not measured are empty. kept and suspicious are 0 or 1."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for one, reason in zip(figures, reasons, strict=True):
        row: dict[str, object] = {"id": one.id, "kept": int(not reason), "reason": reason}
        row |= {name: _cell(getattr(one, name)) for name in FIXED}
        row["overlap_image"] = one.overlap_image
        if one.tree is not None:
            row |= {name: f"{getattr(one.tree, name):.6g}" for name in FIGURES}
        if (near := one.nearest) is not None:
            row |= {"nearest": near.image, "distance": f"{near.distance:.6g}"}
            row["suspicious"] = int(near.suspicious)
        if one.critic is not None:
            row["critic"] = f"{one.critic:.6g}"
        writer.writerow(row)
    return text.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _inside(said: Said, fov: NDArray[np.bool_]) -> Said:
    """No vessel, and no doubt about it, outside the field of view."""
    return Said(said.prob * fov, None if said.sd is None else said.sd * fov)


def _figures(loaded: LoadedImage, said: Said, mask: NDArray[np.bool_]) -> Figures:
    fov = loaded.fov
    return Figures(
        loaded.id,
        confidence=expected_dice(said.prob, mask),
        vessel_share=float(mask[fov].mean()),
        uncertainty=None if said.sd is None else uncertainty(said.prob, said.sd, fov),
    )


def _write(
    out: Path,
    sample: ImageRecord,
    said: Said,
    mask: NDArray[np.bool_],
    fov: NDArray[np.bool_],
    weights: str,
) -> ImageRecord:
    """Write an image's labels and weights; its record names them, and where the image belongs."""
    name = f"{sample.id}.png"
    layers = {"soft": as_png(said.prob)}
    layers |= {"masks": mask.astype(np.uint8) * 255, "fov": fov.astype(np.uint8) * 255}
    if weights == "certainty":
        layers["weights"] = as_png(certainty(said.prob))
    elif weights == "agreement":
        assert said.sd is not None  # the settings see to it
        layers["weights"] = as_png(agreement(said.sd))
    for folder, pixels in layers.items():
        write_png(out / folder / name, pixels)
    return ImageRecord(
        id=sample.id,
        split=REJECTED,
        image=f"images/{sample.id}{Path(sample.image).suffix}",
        mask=f"masks/{name}",
        soft=f"soft/{name}",
        fov=f"fov/{name}",
        weight=f"weights/{name}" if "weights" in layers else None,
    )
