"""The stage `generator.train`: StyleGAN2-ADA on the training images of a prepared set.

To resume, run the same command again. The stage goes on from its newest whole checkpoint, and the
finished artifact is the same. A training that diverges ends with its best snapshot.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
from numpy.typing import NDArray
from pydantic import TypeAdapter

from vesselforge.configs.errors import TrainingError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import write_png
from vesselforge.engine.artifacts import SCRATCH, Inputs
from vesselforge.engine.checkpoints import (
    newest_checkpoint,
    read_checkpoint,
    restoring,
    save_checkpoint,
    save_tensors,
)
from vesselforge.engine.devices import pick_device
from vesselforge.engine.log import append_log, cut_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import default_group
from vesselforge.engine.torchrun.workers import among_workers, run_in_workers
from vesselforge.generator.sampling.sampler import pictures, sample_grid
from vesselforge.generator.trained import AVERAGE, CURRENT, DISCRIMINATOR
from vesselforge.generator.training.delivery import describe
from vesselforge.generator.training.snapshot_scores import Scorer
from vesselforge.generator.training.snapshots import Snapshot, best_of
from vesselforge.generator.training.step_counts import Schedule
from vesselforge.generator.training.trainer import Trainer
from vesselforge.generator.transfer.start import Start, begin
from vesselforge.generator.values import to_network
from vesselforge.generator.views import load_views

REALS = 32
"""Images in reals.png."""
TICKS = 10
"""Lines of the log between two snapshots."""
MOST_OF_TIME, FREE_S = 0.02, 0.2
"""Share of the time that checkpoints may take; one as quick as this is written whenever due."""
DIVERGED = "the loss is no longer a finite number"
_SNAPSHOT, _SNAPSHOTS = TypeAdapter(Snapshot), TypeAdapter(list[Snapshot])


def train(settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with a trained generator.

    inputs: `images`, a prepared set; optionally `start`, an earlier generator.train.
    Writes generator.safetensors (weight average, to sample from), training.safetensors and
    discriminator.safetensors (to train on) of the best or last snapshot; generator.json, log.jsonl,
    reals.png, grid-*.png. Raises UserError for unusable images or weights, TrainingError when
    memory is too small or the training fails without a snapshot; Interrupted after saving when
    asked to stop.
    """
    if settings.processes > 1 and not among_workers():
        stage = "vesselforge.generator.training.train:train"
        run_in_workers(stage, settings, inputs, out, progress, settings.processes)
        return
    with enough_memory(settings):
        run = Run(settings, inputs, out, progress)
        ended = run.loop()
    run.finish(ended)


@contextlib.contextmanager
def enough_memory(settings: GeneratorSettings) -> Iterator[None]:
    """Say what to lower when a step, or a snapshot, finds no memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # The CPU's allocator has no exception class of its own.
        if isinstance(error, RuntimeError) and not (
            isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
        ):
            raise
        raise TrainingError(
            f"generator: out of memory ({str(error).strip().splitlines()[0][:160]}); lower "
            f"generator.batch (now {settings.batch}) or generator.channel_base (now "
            f"{settings.channel_base}), or set generator.precision: bfloat16"
        ) from error


class Run:
    """One training in its folder: what happens around the steps.

    Every process goes through it; rank 0 alone scores and writes files, and the others take from
    it what it decided.
    """

    def __init__(
        self, settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress
    ) -> None:
        """Begin, or go on from the newest whole checkpoint."""
        self.settings, self.inputs, self.out, self.progress = settings, inputs, out, progress
        self.scratch, self.ranks, self.device = (
            out / SCRATCH,
            default_group(),
            pick_device(settings.device),
        )
        folder, cfg = inputs["images"].path, settings
        shown = cfg.presentation, cfg.resolution, cfg.channels, cfg.labels
        self.views = load_views(folder, *shown)
        self.scorer = Scorer(settings, self.views, self.device)
        self.total = Schedule.of(settings, continued=False).steps
        self.tick_every = self._steps_in(settings.snapshot_kimg / TICKS)
        self.snapshot_every = self._steps_in(settings.snapshot_kimg)
        self.figures: dict[str, float] = {}  # in the line of progress
        self.saved_at, self.save_took = time.monotonic(), 0.0
        found = newest_checkpoint(self.scratch)
        self.snapshots: list[Snapshot] = []
        if found is None:
            self.start = begin(cfg, progress.message, inputs.get("start"), self.views.c_dim)
            self.trainer = self._trainer()
        else:
            step, tensors, state = found
            with restoring(self.scratch):
                self.snapshots = _SNAPSHOTS.validate_python(state["snapshots"])
                # Where it started from is not read again.
                self.start = Start.rebuilt(state["start"])
                self.trainer = self._trainer()
                self.trainer.restore(step, tensors, state["trainer"])
            progress.message(f"generator: going on from step {step}")
        self.spare = self._best_step()  # what the newest checkpoint needs
        if self.ranks.is_main:
            cut_log(out, self.trainer.step)
            write_png(out / "reals.png", self._real_grid())

    def loop(self) -> bool:
        """Train to the end, or until a loss is no finite number; return whether it came to the end.

        Raises Interrupted after saving when asked to stop.
        """
        while self.trainer.step < self.total:
            self._advance()
            step, stop = self.trainer.step, self.ranks.any(self.progress.stop_requested)
            ended = step == self.total
            tick = ended or step % self.tick_every == 0
            snapshot = ended or step % self.snapshot_every == 0
            due = step % self.settings.checkpoint_every == 0
            if (tick or snapshot or due or stop) and self.trainer.diverged:
                self._log({"failed": DIVERGED})
                return False
            if tick:
                self._tick()
            if snapshot:
                self._snapshot()
            if not ended and (snapshot or stop or (due and self._may_save())):
                self._save()
            if stop and not ended:
                raise Interrupted(f"generator.train stopped after step {step} of {self.total}")
            done, total = self._kimg(step), self._kimg(self.total)
            self.progress.update(done, total, "kimg", **self.figures)
        return True

    def _trainer(self) -> Trainer:
        schedule = Schedule.of(self.settings, continued=self.start.continued)
        start = self.start.to(self.device)
        networks = start.generator, start.discriminator, start.average
        labels, say = self.views.labels, self.progress.message
        return Trainer(self.settings, schedule, *networks, labels, say)

    def _real_grid(self) -> NDArray[np.uint8]:
        shown = REALS if self.views.presentation == "patch" else min(REALS, len(self.views))
        reals = self.views.batch(shown, self.settings.seed, 0)
        return grid_of(pictures(reals))

    def _advance(self) -> None:
        drawn = self.settings.batch, self.settings.seed, self.trainer.step
        real = to_network(self.views.batch(*drawn), self.device)
        self.trainer.advance(real, self.views.batch_labels(*drawn))

    def _tick(self) -> None:
        """A line of the log."""
        figures = {name: round(value, 6) for name, value in self.trainer.report().items()}
        self._log(figures)
        self.figures |= figures

    def _snapshot(self) -> None:
        """Grid and scores: log them, the first time beside what no sample can be expected below."""
        seen = self.ranks.broadcast(asdict(self._look()) if self.ranks.is_main else None)
        snapshot = _SNAPSHOT.validate_python(seen)
        self.snapshots.append(snapshot)
        if snapshot.kid is None:
            return
        first = len(self.snapshots) == 1
        floor = self.scorer.floor_scores() if first and self.ranks.is_main else {}
        self._log(snapshot.logged() | floor)
        if self.ranks.is_main:
            self.figures["kid"] = snapshot.kid[0]
            mean, deviation = self.scorer.floor
            praise = ", the best so far" if snapshot == best_of(self.snapshots) else ""
            self.progress.message(
                f"{snapshot} (KID of real against real {mean:.2g} ± {deviation:.2g}){praise}"
            )

    def _look(self) -> Snapshot:
        """Draw the grid, score the samples."""
        views, average = self.views, self.trainer.average
        grid = sample_grid(average, self.settings.seed, views.labels)
        write_png(self.out / f"grid-{self.trainer.step:06d}.png", grid)
        return self.scorer.take(self.trainer)

    def _may_save(self) -> bool:
        """Whether another checkpoint would keep to its share of the time."""
        since = time.monotonic() - self.saved_at
        return self.save_took <= max(FREE_S, MOST_OF_TIME * since)

    def _save(self) -> None:
        """Write a checkpoint; of older ones those stay which it or the one before it needs."""
        before, self.spare = self.spare, self._best_step()
        if not self.ranks.is_main:
            return
        began = time.monotonic()
        state = {
            "trainer": self.trainer.state(),
            "snapshots": [asdict(taken) for taken in self.snapshots],
            "start": self.start.facts(),
        }
        step, tensors = self.trainer.step, self.trainer.tensors()
        save_checkpoint(self.scratch, step, tensors, state, self.spare | before)
        self.saved_at = time.monotonic()
        self.save_took = self.saved_at - began

    def _best_step(self) -> set[int]:
        """The step of the best snapshot, whose checkpoint may be what is delivered."""
        best = best_of(self.snapshots)
        return set() if best is None else {best.step}

    def _log(self, entry: dict[str, Any]) -> None:
        step = self.trainer.step
        if self.ranks.is_main:
            append_log(self.out, {"step": step, "kimg": self._kimg(step)} | entry)

    def _kimg(self, steps: int) -> float:
        return steps * self.settings.batch / 1000

    def _steps_in(self, kimg: float) -> int:
        return max(1, int(kimg * 1000 / self.settings.batch + 0.5))

    def finish(self, ended: bool) -> None:
        """Write the artifact: the networks of one snapshot, and what is known of all.

        Where the training did not come to its end, the best one so far is delivered. Raises
        TrainingError where there is none.
        """
        step, best = self.trainer.step, best_of(self.snapshots)
        if best is None:
            raise TrainingError(f"generator: at step {step} {DIVERGED}; {self._advice()}")
        chosen = self.snapshots[-1] if ended and self.settings.deliver == "last" else best
        if not ended:
            self.progress.message(
                f"generator: at step {step} of {self.total} {DIVERGED}; it ends here, with its "
                f"best snapshot, of step {chosen.step}. For a longer training {self._advice()}"
            )
        if not self.ranks.is_main:
            return
        if chosen.step != step:
            tensors, state = read_checkpoint(self.scratch, chosen.step)
            self.trainer.restore(chosen.step, tensors, state["trainer"])
        save_tensors(self.out / AVERAGE, self.trainer.average.state_dict())
        save_tensors(self.out / CURRENT, self.trainer.generator.state_dict())
        save_tensors(self.out / DISCRIMINATOR, self.trainer.discriminator.state_dict())
        images = self.inputs["images"].digest
        describe(self.out, images, self.start, self.trainer, self.scorer, self.snapshots, chosen)

    def _advice(self) -> str:
        cfg, gamma = self.settings, self.trainer.schedule.r1_gamma
        augment = "" if cfg.augment == "ada" else f" (now {cfg.augment})"
        return (
            f"lower generator.lr (now {cfg.lr:g}), raise generator.r1_gamma (now {gamma:g}; 2 to "
            f"10 times is usual) or generator.batch (now {cfg.batch}), use generator.augment: "
            f"ada{augment}, start from a trained network with generator.freeze_d (10, say), or "
            "train on more images"
        )
