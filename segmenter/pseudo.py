"""Pseudo-labels: the teacher's vessel maps of synthetic images, and which of them to trust."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError
from configs.settings import PseudoLabelSettings
from data.imageset import ImageRecord, load_image, read_index, write_index, write_png
from data.progress import Interrupted, Progress
from data.store import METRICS, Inputs, write_atomic, write_json
from segmenter.inference.predict import as_png
from segmenter.models import Model

Row = tuple[str, str, str, int, str]
COLUMNS = ("id", "confidence", "vessel_share", "kept", "reason")


def label(settings: PseudoLabelSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.pseudo-label`. inputs: `samples` (an image set) and `teacher` (a model).

    Writes an image set with soft and hard labels, split `train` for kept images and `rejected`
    for the others; labels.csv says why. Raises DataError when nothing is kept.
    """
    teacher = Model.load(inputs["teacher"].path)
    threshold = settings.threshold or teacher.threshold
    folder = inputs["samples"].path
    records: list[ImageRecord] = []
    rows: list[Row] = []
    samples = read_index(folder)
    for done, sample in enumerate(samples, start=1):
        if progress.stop_requested:
            raise Interrupted
        loaded = load_image(folder, sample)
        fov = loaded.fov
        prob = teacher.predict(loaded.image) * fov
        mask = prob >= threshold
        confidence, share = expected_dice(prob, mask), float(mask[fov].mean())
        reason = why_rejected(confidence, share, settings)
        records.append(_write(out, folder, sample, prob, mask, fov, confidence, not reason))
        rows.append((sample.id, f"{confidence:.4f}", f"{share:.4f}", int(not reason), reason))
        progress.update(done, len(samples), "image")
    _write_table(out / "labels.csv", rows)
    write_json(out / METRICS, summary([r[4] for r in rows], [float(r[1]) for r in rows]))
    write_index(out, "pseudo-labelled", records)
    if all(row[4] for row in rows):
        raise DataError(
            f"pseudo_label: all {len(rows)} synthetic images were rejected "
            f"(mostly: {Counter(r[4].split(' ')[0] for r in rows).most_common(1)[0][0]}); train "
            "the generator longer, or loosen min_confidence, min_vessel_share, max_vessel_share"
        )


def expected_dice(prob: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Confidence in [0, 1]: the Dice score of the hard mask that the probabilities expect,

    2·Σ_{mask} p / (Σ mask + Σ p); exactly so in the limit of many independent pixels of a
    calibrated teacher. 0 for an empty mask.
    """
    below = float(mask.sum() + prob.sum())
    return 2 * float(prob[mask].sum()) / below if mask.any() else 0.0


def why_rejected(confidence: float, share: float, settings: PseudoLabelSettings) -> str:
    """The reason, its first word fit for counting, or an empty string for an image to keep."""
    if share < settings.min_vessel_share:
        return f"vessel-share {share:.4f} is below {settings.min_vessel_share:g}"
    if share > settings.max_vessel_share:
        return f"vessel-share {share:.4f} is above {settings.max_vessel_share:g}"
    if confidence < settings.min_confidence:
        return f"confidence {confidence:.3f} is below {settings.min_confidence:g}"
    return ""


def summary(reasons: list[str], confidences: list[float]) -> dict[str, object]:
    """Counts of kept and rejected images, by reason, and the mean confidence of the kept."""
    kept = [c for c, reason in zip(confidences, reasons, strict=True) if not reason]
    return {
        "kept": len(kept),
        "rejected": len(reasons) - len(kept),
        "reasons": dict(Counter(reason.split(" ")[0] for reason in reasons if reason)),
        "mean_confidence": round(float(np.mean(kept)), 4) if kept else None,
    }


def _write(
    out: Path,
    folder: Path,
    sample: ImageRecord,
    prob: NDArray[np.floating],
    mask: NDArray[np.bool_],
    fov: NDArray[np.bool_],
    confidence: float,
    kept: bool,
) -> ImageRecord:
    name = f"{sample.id}.png"
    write_png(out / "soft" / name, as_png(prob.astype(np.float32)))
    write_png(out / "masks" / name, mask.astype(np.uint8) * 255)
    write_png(out / "fov" / name, fov.astype(np.uint8) * 255)
    _link(folder / sample.image, out / "images" / name)
    return ImageRecord(
        id=sample.id,
        split="train" if kept else "rejected",
        image=f"images/{name}",
        mask=f"masks/{name}",
        soft=f"soft/{name}",
        fov=f"fov/{name}",
        confidence=round(confidence, 4),
    )


def _link(source: Path, target: Path) -> None:
    """The same bytes under another name; a hard link costs no disk (artifacts never change)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _write_table(path: Path, rows: list[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
