"""The stage `generator.train`: StyleGAN2-ADA on the training images of a prepared set.

To resume, run the same command again. The stage goes on from its newest whole checkpoint, and the
finished artifact is the same. A training that diverges ends with its best snapshot.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
from pydantic import TypeAdapter

from vesselforge.configs.errors import TrainingError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import write_png
from vesselforge.engine.artifacts import METRICS, SCRATCH, Inputs
from vesselforge.engine.checkpoints import (
    lighten_checkpoint,
    newest_checkpoint,
    read_checkpoint,
    restoring,
    save_checkpoint,
    save_tensors,
)
from vesselforge.engine.files import write_json
from vesselforge.engine.log import append_log, cut_log
from vesselforge.engine.longer import saved_steps, set_aside, take_back
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import default_group
from vesselforge.engine.torchrun.workers import among_workers, run_in_workers
from vesselforge.generator.sampling.sampler import pictures, sample_grid
from vesselforge.generator.trained import (
    AVERAGE,
    CURRENT,
    DESCRIPTION,
    DISCRIMINATOR,
    FOV,
    described_views,
)
from vesselforge.generator.training.snapshots import ALIKE, Scorer, Snapshot, best_of
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
_SNAPSHOT = TypeAdapter(Snapshot)


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
    try:
        run = Run(settings, inputs, out, progress)
        failed = run.loop()
    except (MemoryError, RuntimeError) as error:
        # The CPU's allocator has no exception class of its own.
        named = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not named and "allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"generator: out of memory ({str(error).strip().splitlines()[0][:160]}); lower "
            f"generator.batch (now {settings.batch}) or generator.channel_base (now "
            f"{settings.channel_base}), or set generator.precision: bfloat16"
        ) from error
    run.finish(failed)


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
        self.scratch, self.ranks, cfg = out / SCRATCH, default_group(), settings
        shown = cfg.presentation, cfg.resolution, cfg.channels, cfg.labels
        self.views = load_views(inputs["images"].path, *shown)
        self.tick_every = self._steps_in(cfg.snapshot_kimg / TICKS)
        self.snapshot_every = self._steps_in(cfg.snapshot_kimg)
        self.figures: dict[str, float] = {}  # in the line of progress
        self.saved_at, self.save_took = time.monotonic(), 0.0
        self.snapshots: list[Snapshot] = []
        self.watched = True  # whether what is logged and scored after the step was
        if self.ranks.is_main:
            take_back(out)
        found = newest_checkpoint(self.scratch)
        if found is None:
            self.start = begin(cfg, progress.message, inputs.get("start"), self.views.c_dim)
            self.trainer = self._trainer()
        else:
            step, tensors, state = found
            with restoring(self.scratch):
                self.snapshots = [_SNAPSHOT.validate_python(one) for one in state["snapshots"]]
                self.watched = state.get("watched", True)  # always, before December 2026
                # Where it started from is not read again.
                self.start = Start.rebuilt(state["start"])
                self.trainer = self._trainer()
                self.trainer.restore(step, tensors, state["trainer"])
            progress.message(f"generator: going on from step {step}")
        self.total = self.trainer.schedule.steps
        self.scorer = Scorer(cfg, self.views, self.trainer.device)
        self.spare = self._best_step()  # what the newest checkpoint needs
        if self.ranks.is_main:
            cut_log(out, self.trainer.step - (not self.watched))
            reals = REALS if cfg.presentation == "patch" else min(REALS, len(self.views))
            sheet = grid_of(pictures(self.views.batch(reals, cfg.seed, 0)))
            write_png(out / "reals.png", sheet)

    def loop(self) -> str:
        """Train to the end, or until it diverges; return how it did, empty at the end.

        Raises Interrupted after saving when asked to stop.
        """
        if not self.watched:
            self._watch()
        while self.trainer.step < self.total:
            drawn = self.settings.batch, self.settings.seed, self.trainer.step
            real = to_network(self.views.batch(*drawn), self.trainer.device)
            self.trainer.advance(real, self.views.batch_labels(*drawn))
            step, stop = self.trainer.step, self.ranks.any(self.progress.stop_requested)
            ended, due = step == self.total, step % self.settings.checkpoint_every == 0
            tick, snapshot = step % self.tick_every == 0, step % self.snapshot_every == 0
            if (tick or snapshot or due or stop or ended) and self.trainer.diverged:
                self._log({"failed": self.trainer.diverged})
                self._set_aside()
                return self.trainer.diverged
            self._watch()
            if not ended and (snapshot or stop or (due and self._may_save())):
                self._save()
            if stop and not ended:
                raise Interrupted(f"generator.train stopped after step {step} of {self.total}")
        return ""

    def _watch(self) -> None:
        """Log and score what is due; before that, at the last step, keep the state, from which a
        longer training goes on."""
        step = self.trainer.step
        if ended := step == self.total:
            self._save(watched=False)
            self._set_aside()
        if ended or step % self.tick_every == 0:
            means = {name: round(mean, 6) for name, mean in self.trainer.report().items()}
            self._log(means)
            self.figures |= means
        if ended or step % self.snapshot_every == 0:
            self._snapshot()
        self.progress.update(self._kimg(step), self._kimg(self.total), "kimg", **self.figures)

    def _set_aside(self) -> None:
        """Keep the newest checkpoint, and of the best snapshot's the weights."""
        newest = saved_steps(self.scratch)[-1:]
        if self.ranks.is_main and newest:
            for step in self._best_step().difference(newest):
                lighten_checkpoint(self.scratch, step, "adam_")
            set_aside(self.out, self._best_step().union(newest))

    def _trainer(self) -> Trainer:
        networks = self.start.generator, self.start.discriminator, self.start.average
        return Trainer(self.settings, *networks, self.views.labels, self.progress.message)

    def _snapshot(self) -> None:
        """Grid and scores: log them, the first time beside what no sample can be expected below."""
        seen = None
        if self.ranks.is_main:
            grid = sample_grid(self.trainer.average, self.settings.seed, self.views.labels)
            write_png(self.out / f"grid-{self.trainer.step:06d}.png", grid)
            seen = asdict(self.scorer.take(self.trainer))
        snapshot = _SNAPSHOT.validate_python(self.ranks.broadcast(seen))
        self.snapshots.append(snapshot)
        if self.ranks.is_main and self.scorer.alike:
            self.progress.message(f"{snapshot.kimg:g} kimg: {ALIKE}")
        if snapshot.kid is None:
            return
        entry = snapshot.logged()
        if self.ranks.is_main:
            entry |= self.scorer.floor if len(self.snapshots) == 1 else {}
            self.figures["kid"] = snapshot.kid[0]
            mean, deviation = self.scorer.floor.values()
            praise = ", the best so far" if snapshot == best_of(self.snapshots) else ""
            self.progress.message(
                f"{snapshot} (KID of real against real {mean:.2g} ± {deviation:.2g}){praise}"
            )
        self._log(entry)

    def _may_save(self) -> bool:
        """Whether another checkpoint would keep to its share of the time."""
        since = time.monotonic() - self.saved_at
        return self.save_took <= max(FREE_S, MOST_OF_TIME * since)

    def _save(self, watched: bool = True) -> None:
        """Write a checkpoint; of older ones those stay which it or the one before it needs."""
        before, self.spare = self.spare, self._best_step()
        if not self.ranks.is_main:
            return
        began = time.monotonic()
        state = {
            "trainer": self.trainer.state(),
            "snapshots": [asdict(taken) for taken in self.snapshots],
            "start": self.start.facts(),
            "watched": watched,
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

    def finish(self, failed: str) -> None:
        """Write the artifact: the networks of one snapshot, and what is known of all.

        Where the training `failed` before its end, the best one so far is delivered. Raises
        TrainingError where there is none.
        """
        step, best = self.trainer.step, best_of(self.snapshots)
        if best is None:
            raise TrainingError(f"generator: at step {step} {failed}; {self.trainer.advice}")
        chosen = self.snapshots[-1] if not failed and self.settings.deliver == "last" else best
        if failed:
            self.progress.message(
                f"generator: at step {step} of {self.total} {failed}; it ends here, with its best "
                f"snapshot, of step {chosen.step}. For a longer training {self.trainer.advice}"
            )
        if not self.ranks.is_main:
            return
        if chosen.step != step:
            tensors, state = read_checkpoint(self.scratch, chosen.step)
            self.trainer.restore(chosen.step, tensors, state["trainer"])
        trainer = self.trainer
        save_tensors(self.out / AVERAGE, trainer.average.state_dict())
        save_tensors(self.out / CURRENT, trainer.generator.state_dict())
        save_tensors(self.out / DISCRIMINATOR, trainer.discriminator.state_dict())
        self._describe(chosen)

    def _describe(self, chosen: Snapshot) -> None:
        """Write generator.json and metrics.json, and fov.png for whole images."""
        views, start, trainer = self.views, self.start, self.trainer
        if views.presentation == "full":
            write_png(self.out / FOV, views.fov.astype(np.uint8) * 255)
        kimg = self.snapshots[-1].kimg
        listed = [{"step": s.step, "kimg": s.kimg, **s.logged()} for s in self.snapshots]
        description = {
            "generator": start.generator_kwargs,
            "discriminator": start.discriminator_kwargs,
            **described_views(views),
            "provenance": {"images": self.inputs["images"].digest, **start.provenance},
            "training": trainer.described() | {"kimg": kimg, "images": len(views)},
            "delivered": listed[self.snapshots.index(chosen)],
            "snapshots": listed,
            "scored_by": self.scorer.described(),
        }
        metrics: dict[str, Any] = {"kimg": kimg, "delivered_kimg": chosen.kimg, "p": trainer.p}
        metrics |= chosen.scores() | self.scorer.floor
        if chosen.structure is not None:
            metrics["in_range"] = chosen.structure.in_range
        write_json(self.out / METRICS, metrics)
        write_json(self.out / DESCRIPTION, description)
