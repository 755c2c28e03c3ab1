"""The stage `generator.train`: StyleGAN2-ADA on the training images of a prepared set.

To resume, run the same command again. The stage goes on from its newest whole checkpoint, and the
finished artifact is the same. A training that collapses goes back to its best snapshot by itself.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401  torch.optim would, 1.5 s in every process of a stage
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor

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
from vesselforge.engine.log import append_log, keep_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import default_group
from vesselforge.engine.torchrun.workers import among_workers, run_in_workers
from vesselforge.generator.models import AVERAGE, CURRENT, DISCRIMINATOR
from vesselforge.generator.sampling.grids import pictures, sample_grid
from vesselforge.generator.training.delivery import describe, facts_of, rebuilt
from vesselforge.generator.training.resources import Pace, enough_memory
from vesselforge.generator.training.rollback import (
    ROLLBACKS,
    History,
    Snapshot,
    fault_of,
    given_up,
    settings_after,
)
from vesselforge.generator.training.schedule import Schedule
from vesselforge.generator.training.snapshot_scores import Scorer
from vesselforge.generator.training.trainer import ADA_INTERVAL, Trainer
from vesselforge.generator.transfer.start import Start, begin
from vesselforge.generator.values import to_network
from vesselforge.generator.views import load_views

REALS = 32
"""Images in reals.png."""
REAL_FEATURES = "real-features.safetensors"
TICKS = 10
"""Lines of the log between two snapshots."""
_HISTORY, _SNAPSHOT = TypeAdapter(History), TypeAdapter(Snapshot)


def train(settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with a trained generator.

    inputs: `images`, a prepared set; optionally `start`, an earlier generator.train.
    Writes generator.safetensors (weight average, to sample from), training.safetensors and
    discriminator.safetensors (to train on) of the best or last snapshot; snapshot-*.safetensors,
    the weight averages of the other best ones; generator.json, log.jsonl, reals.png, grid-*.png.
    Raises UserError for unusable images or weights, TrainingError when memory is too small or the
    training fails more often than it may go back; Interrupted after saving when asked to stop.
    """
    if settings.processes > 1 and not among_workers():
        stage = "vesselforge.generator.training.train:train"
        run_in_workers(stage, settings, inputs, out, progress, settings.processes)
        return
    with enough_memory(settings):
        run = Run(settings, inputs, out, progress)
        run.loop()
    run.finish()


class Run:
    """One training in its folder: what happens around the steps.

    Every process of a group goes through it; rank 0 alone scores, and writes files, and the
    others take from it what it decided.
    """

    def __init__(
        self, settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress
    ) -> None:
        """Begin, or go on from the newest whole checkpoint."""
        self.settings, self.inputs, self.out, self.progress = settings, inputs, out, progress
        self.ranks = default_group()
        self.scratch, self.device = out / SCRATCH, pick_device(settings.device)
        folder, cfg = inputs["images"].path, settings
        shown = cfg.presentation, cfg.resolution, cfg.channels, cfg.labels
        self.views = load_views(folder, *shown)
        self.scorer = Scorer(settings, self.views, self.device, self.scratch / REAL_FEATURES)
        self.pace = Pace()
        self.total = Schedule.of(settings, continued=False).steps
        self.tick_every = self._steps_in(settings.snapshot_kimg / TICKS)
        self.snapshot_every = self._steps_in(settings.snapshot_kimg)
        self.figures: dict[str, float] = {}  # in the line of progress
        found = newest_checkpoint(self.scratch)
        with restoring(self.scratch):
            self.history = _HISTORY.validate_python({} if found is None else found[2]["history"])
        self.before = self.history.needs  # what the newest checkpoint needs
        self.start, self.trainer = self._begin() if found is None else self._continue(*found[1:])
        if found is not None:
            progress.message(f"generator: going on from step {self.trainer.step}")
        if self.ranks.is_main:
            keep_log(out, self.history.logged)
            write_png(out / "reals.png", self._real_grid())

    def loop(self) -> None:
        """Train to the end. Raises Interrupted after saving when asked to stop."""
        while self.trainer.step < self.total:
            self._advance()
            step, stop = self.trainer.step, self.ranks.any(self.progress.stop_requested)
            ended = step == self.total
            tick = ended or step % self.tick_every == 0
            snapshot = ended or step % self.snapshot_every == 0
            due = step % self.settings.checkpoint_every == 0
            look = tick or snapshot or due or stop or step % ADA_INTERVAL == 0
            failed = self.trainer.failed_at(look)
            if failed is None and tick:
                self._tick()
            if failed is not None:
                self._roll_back(failed, "the loss is no longer a finite number")
            elif snapshot and (collapse := self._snapshot()):
                self._roll_back(step, collapse)
            elif not ended and (snapshot or stop or (due and self.pace.may_save())):
                self._save()
            if stop and self.trainer.step < self.total:
                raise Interrupted(f"generator.train stopped after step {step} of {self.total}")
            if self.pace.quiet():
                self._show()

    def _begin(self) -> tuple[Start, Trainer]:
        """The training at its first step."""
        cfg, views = settings_after(self.settings, len(self.history.rollbacks)), self.views
        start = begin(cfg, self.progress.message, self.inputs.get("start"), views.c_dim)
        return start, self._trainer(start)

    def _continue(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> tuple[Start, Trainer]:
        """The training as a checkpoint describes it; where it started from is not read again."""
        with restoring(self.scratch):
            start = rebuilt(state["start"])
            trainer = self._trainer(start)
            trainer.restore(state["step"], tensors, state["trainer"])
        return start, trainer

    def _trainer(self, start: Start) -> Trainer:
        """As calm as the rollbacks so far ask for."""
        cfg = settings_after(self.settings, len(self.history.rollbacks))
        schedule = Schedule.of(cfg, continued=start.continued)
        start.to(self.device)
        networks = start.generator, start.discriminator, start.average
        return Trainer(cfg, schedule, *networks, self.views.labels, self.progress.message)

    def _real_grid(self) -> NDArray[np.uint8]:
        shown = REALS if self.views.presentation == "patch" else min(REALS, len(self.views))
        reals = self.views.batch(shown, self.settings.seed, 0)
        return grid_of(pictures(reals))

    def _advance(self) -> None:
        cfg = self.trainer.settings
        drawn = cfg.batch, cfg.seed, self.trainer.step
        real = to_network(self.views.batch(*drawn), self.device)
        self.trainer.advance(real, self.views.batch_labels(*drawn))
        self.history.clock += 1

    def _tick(self) -> None:
        """A line of the log, and one of progress."""
        figures = {name: round(value, 6) for name, value in self.trainer.report().items()}
        self._log(figures)
        self.figures |= figures
        self._show()

    def _show(self) -> None:
        done, total = self._kimg(self.trainer.step), self._kimg(self.total)
        self.progress.update(done, total, "kimg", **self.figures)

    def _snapshot(self) -> str:
        """Grid, scores, and weights while they are among the best; why the training has collapsed,
        empty while it has not."""
        history = self.history
        seen = self.ranks.broadcast(asdict(self._look()) if self.ranks.is_main else None)
        snapshot = _SNAPSHOT.validate_python(seen)
        history.add(snapshot, self.settings.keep_best)
        if self.ranks.is_main and snapshot.file in history.files:
            save_tensors(self.out / snapshot.file, self.trainer.average.state_dict())
        if snapshot.finite:
            self._tell(snapshot)
        return history.collapse()

    def _look(self) -> Snapshot:
        """Draw the grid, score the samples."""
        views, average = self.views, self.trainer.average
        grid = sample_grid(average, self.settings.seed, views.channels, views.labels)
        write_png(self.out / f"grid-{self.trainer.step:06d}.png", grid)
        snapshot = self.scorer.take(self.trainer, self.history.clock)
        if not self.scorer.scores:
            return snapshot
        fault = fault_of(self.history.snapshots, snapshot, self.scorer.floor)
        return replace(snapshot, fault=fault)

    def _tell(self, snapshot: Snapshot) -> None:
        """Log the scores; the first time beside what no sample can be expected to fall below."""
        first, best = len(self.history.snapshots) == 1, self.history.best
        floor = self.scorer.floor_scores() if first and self.ranks.is_main else {}
        self._log(snapshot.logged() | floor)
        if self.ranks.is_main and snapshot.kid is not None:
            self.figures["kid"] = snapshot.kid[0]
            floor_kid, deviation = self.scorer.floor
            praise = ", the best so far" if best is not None and best.step == snapshot.step else ""
            self.progress.message(
                f"{snapshot} (KID of real against real {floor_kid:.2g} ± {deviation:.2g}){praise}"
            )

    def _roll_back(self, failed: int, reason: str) -> None:
        """Go back to the best snapshot, or to the beginning, and on from there more calmly."""
        history, best = self.history, self.history.healthy
        if len(history.rollbacks) >= ROLLBACKS:
            raise given_up(self.trainer.settings, failed, reason, self._where(best))
        del self.trainer, self.start  # two of them may not fit into memory
        to = 0 if best is None else best.step
        history.snapshots = [taken for taken in history.snapshots if taken.step <= to]
        history.rollbacks.append({"from_step": failed, "step": to, "reason": reason})
        if best is None:
            self.start, self.trainer = self._begin()
        else:
            found = read_checkpoint(self.scratch, best.clock)
            self.start, self.trainer = self._continue(*found)
        now = {"lr": self.trainer.settings.lr, "r1_gamma": self.trainer.schedule.r1_gamma}
        self._log({"rollback": len(history.rollbacks)} | history.rollbacks[-1] | now)
        self.progress.message(
            f"generator: at step {failed}, {reason}; going back to step {to} and on with lr "
            f"{now['lr']:g} and r1_gamma {now['r1_gamma']:g} (rollback {len(history.rollbacks)} of "
            f"at most {ROLLBACKS})"
        )
        self._save()

    def _where(self, best: Snapshot | None) -> str:
        if best is None:
            return "it had no snapshot yet"
        return f"its best snapshot, of step {best.step}, is {self.out / best.file}"

    def _save(self) -> None:
        """Write a checkpoint; then let go of what neither it nor the one before it needs."""
        history, trainer, before = self.history, self.trainer, self.before
        self.before = spare, files = history.needs
        state = {"step": trainer.step, "trainer": trainer.state(), "history": asdict(history)}
        state["start"] = facts_of(self.start)
        if self.ranks.is_main:
            with self.pace.saving():
                tensors = trainer.tensors()
                save_checkpoint(self.scratch, history.clock, tensors, state, spare | before[0])
                self._discard(files | before[1])

    def _discard(self, kept: set[str]) -> None:
        for path in self.out.glob("snapshot-*.safetensors"):
            if path.name not in kept:
                path.unlink()

    def _log(self, entry: dict[str, Any]) -> None:
        step = self.trainer.step
        if self.ranks.is_main:
            append_log(self.out, {"step": step, "kimg": self._kimg(step)} | entry)
        self.history.logged += 1

    def _kimg(self, steps: int) -> float:
        return steps * self.settings.batch / 1000

    def _steps_in(self, kimg: float) -> int:
        return max(1, round(kimg * 1000 / self.settings.batch))

    def finish(self) -> None:
        """Write the artifact: the networks of one snapshot, and what is known of all."""
        history, cfg = self.history, self.settings
        chosen = history.best if cfg.deliver == "best" else history.snapshots[-1]
        assert chosen is not None  # there is one at the last step
        if not self.ranks.is_main:
            return
        if chosen.clock != history.clock:
            tensors, state = read_checkpoint(self.scratch, chosen.clock)
            self.trainer.restore(chosen.step, tensors, state["trainer"])
        self._discard(history.files - {chosen.file})  # it is AVERAGE already
        save_tensors(self.out / AVERAGE, self.trainer.average.state_dict())
        save_tensors(self.out / CURRENT, self.trainer.generator.state_dict())
        save_tensors(self.out / DISCRIMINATOR, self.trainer.discriminator.state_dict())
        images = self.inputs["images"].digest
        describe(self.out, images, self.start, self.trainer, self.scorer, history, chosen)
