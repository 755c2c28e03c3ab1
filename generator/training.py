"""The stage `generator.train`: StyleGAN2-ADA on the training images of a prepared set.

To resume, run the same command again. The stage checkpoints every few steps and goes on from the
newest whole one; its log is cut back to that step, so that the finished artifact is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.errors import TrainingError
from configs.settings import GeneratorSettings
from data.checkpoints import newest_checkpoint, save_checkpoint, save_tensors
from data.devices import pick_device
from data.imageset import write_png
from data.log import append_log, cut_log
from data.progress import Interrupted, Progress
from data.store import METRICS, SCRATCH, Inputs, write_json
from generator.grids import grid_of, sample_grid
from generator.models import AVERAGE, CRITIC, CURRENT, DESCRIPTION, FOV
from generator.start import Start, start_fresh, start_from_artifact, start_from_official
from generator.trainer import ADA_INTERVAL, Schedule, Trainer
from generator.views import Views, load_views, to_network

REPORT_EVERY = 16
"""Steps between lines of the log and of progress."""
REALS = 32
"""Images in reals.png."""


def train(settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with a trained generator.

    inputs: `images`, a prepared set; optionally `start`, an earlier generator.train.
    Writes generator.safetensors (weight average, to sample from), training.safetensors and
    discriminator.safetensors (to train on), generator.json, log.jsonl, reals.png, grid-*.png.
    Raises UserError for unusable images or weights and TrainingError when the loss is no longer
    finite; Interrupted after saving when asked to stop.
    """
    device = pick_device(settings.device)
    views = load_views(inputs["images"].path, settings.presentation, settings.resolution)
    start = _start(settings, inputs, progress).to(device)
    schedule = Schedule.of(settings, continued=start.continued)
    trainer = Trainer(
        settings, schedule, start.generator, start.discriminator, start.average
    )  # fmt: skip
    _resume(trainer, out, progress)
    write_png(out / "reals.png", grid_of(_first_views(views, settings.seed)))
    _loop(trainer, views, out, progress)
    _finish(trainer, start, views, inputs, out)


def _start(settings: GeneratorSettings, inputs: Inputs, progress: Progress) -> Start:
    earlier = inputs.get("start")
    if earlier is not None:
        return start_from_artifact(settings, earlier.path, earlier.digest)
    if settings.start_from is not None:
        return start_from_official(settings, settings.start_from, progress.message)
    return start_fresh(settings)


def _first_views(views: Views, seed: int) -> np.ndarray:
    return views.batch(REALS if views.presentation == "patch" else min(REALS, len(views)), seed, 0)


def _loop(trainer: Trainer, views: Views, out: Path, progress: Progress) -> None:
    cfg, total = trainer.settings, trainer.schedule.steps
    snapshot_every = max(1, round(cfg.snapshot_kimg * 1000 / cfg.batch))
    while trainer.step < total:
        real = to_network(views.batch(cfg.batch, cfg.seed, trainer.step), trainer.device)
        trainer.advance(real)
        step = trainer.step
        ended, stop = step == total, progress.stop_requested
        save = step % cfg.checkpoint_every == 0 or stop
        tick = step % REPORT_EVERY == 0 or ended
        _check(trainer, wait=save or tick or step % ADA_INTERVAL == 0)
        if tick:
            figures = {name: round(value, 6) for name, value in trainer.report().items()}
            append_log(out, {"step": step, "kimg": step * cfg.batch / 1000, **figures})
            progress.update(step * cfg.batch / 1000, total * cfg.batch / 1000, "kimg", **figures)
        if step % snapshot_every == 0 or ended:
            write_png(out / f"grid-{step:06d}.png", sample_grid(trainer.average, cfg.seed))
        if save and not ended:
            save_checkpoint(out / SCRATCH, step, trainer.tensors(), trainer.state())
        if stop and not ended:
            raise Interrupted(f"generator.train stopped after step {step} of {total}")


def _check(trainer: Trainer, wait: bool) -> None:
    step = trainer.failed_at(wait)
    if step is not None:
        raise TrainingError(
            f"generator: the loss is no longer a finite number at step {step}; lower "
            f"generator.lr (now {trainer.settings.lr:g}) or raise generator.r1_gamma "
            f"(now {trainer.schedule.r1_gamma:g}) and run again"
        )


def _resume(trainer: Trainer, out: Path, progress: Progress) -> None:
    """Go on from the newest whole checkpoint, if there is one; the log and grids with it."""
    found = newest_checkpoint(out / SCRATCH)
    if found is not None:
        trainer.restore(*found)
        progress.message(f"generator: going on from step {trainer.step}")
    cut_log(out, trainer.step)


def _finish(trainer: Trainer, start: Start, views: Views, inputs: Inputs, out: Path) -> None:
    cfg, full = trainer.settings, views.presentation == "full"
    save_tensors(out / AVERAGE, trainer.average.state_dict())
    save_tensors(out / CURRENT, trainer.generator.state_dict())
    save_tensors(out / CRITIC, trainer.discriminator.state_dict())
    if full:
        write_png(out / FOV, views.fov.astype(np.uint8) * 255)
    description = {
        "generator": start.generator_kwargs,
        "discriminator": start.discriminator_kwargs,
        "presentation": views.presentation,
        "resolution": views.resolution,
        # Patches have native resolution already; whole images are given their size back.
        "native_size": list(views.native_size) if full else None,
        "fov": FOV if full else None,
        "provenance": {"images": inputs["images"].digest, **start.provenance},
        "training": {
            "steps": trainer.step,
            "kimg": trainer.step * cfg.batch / 1000,
            "images": len(views),
            "r1_gamma": trainer.schedule.r1_gamma,
            "p": trainer.p,
            "r_t": trainer.r_t,
        },
    }
    write_json(out / METRICS, {"kimg": trainer.step * cfg.batch / 1000, "p": trainer.p})
    write_json(out / DESCRIPTION, description)
