"""What a finished training says of itself, in generator.json and metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vesselforge.data.imageset import write_png
from vesselforge.engine.artifacts import METRICS
from vesselforge.engine.files import write_json
from vesselforge.generator.trained import DESCRIPTION, FOV
from vesselforge.generator.training.snapshot_scores import Scorer
from vesselforge.generator.training.snapshots import Snapshot
from vesselforge.generator.training.trainer import Trainer
from vesselforge.generator.transfer.start import Start


def describe(
    out: Path,
    images: str,
    start: Start,
    trainer: Trainer,
    scorer: Scorer,
    snapshots: Sequence[Snapshot],
    chosen: Snapshot,
) -> None:
    """Write both, and fov.png for whole images.

    images: digest of the prepared set; trainer: as it was at the chosen snapshot.
    """
    cfg, views = scorer.settings, scorer.views
    full = views.presentation == "full"
    if full:
        write_png(out / FOV, views.fov.astype(np.uint8) * 255)
    kimg = snapshots[-1].kimg
    listed = [{"step": taken.step, "kimg": taken.kimg, **taken.logged()} for taken in snapshots]
    description = {
        "generator": start.generator_kwargs,
        "discriminator": start.discriminator_kwargs,
        "presentation": views.presentation,
        "resolution": views.resolution,
        "channels": vars(views.channels),
        "labels": None if views.labels is None else views.labels.tolist(),
        "classes": views.classes,
        # Patches have native resolution already; whole images are given their size back.
        "native_size": list(views.native_size) if full else None,
        "fov": FOV if full else None,
        "provenance": {"images": images, **start.provenance},
        "training": {
            "steps": trainer.schedule.steps,
            "kimg": kimg,
            "images": len(views),
            "lr": cfg.lr,
            "r1_gamma": trainer.schedule.r1_gamma,
            "p": trainer.p,
            "r_t": trainer.r_t,
        },
        "delivered": listed[snapshots.index(chosen)],
        "snapshots": listed,
        "scored_by": scorer.described(),
    }
    metrics: dict[str, Any] = {"kimg": kimg, "delivered_kimg": chosen.kimg, "p": trainer.p}
    metrics |= chosen.scores() | scorer.floor_scores()
    if chosen.structure is not None:
        metrics["in_range"] = chosen.structure.in_range
    write_json(out / METRICS, metrics)
    write_json(out / DESCRIPTION, description)
