"""The stage `generator.train`: StyleGAN2-ADA on the training images of a prepared set.

To resume, run the same command again. The stage goes on from its newest whole checkpoint, and the
finished artifact is the same. A training that collapses goes back to its best snapshot by itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401  torch.optim would, 1.5 s in every process of a stage
from numpy.typing import NDArray
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
from vesselforge.engine.torchrun.ranks import here
from vesselforge.engine.torchrun.workers import among_workers, run_in_workers
from vesselforge.generator.models import AVERAGE, CRITIC, CURRENT
from vesselforge.generator.sampling.grids import pictures, sample_grid
from vesselforge.generator.training.course import Course, retained
from vesselforge.generator.training.delivery import describe, facts_of, rebuilt
from vesselforge.generator.training.health import (
    Trouble,
    calmer,
    collapsed,
    enough_memory,
    given_up,
    symptoms,
)
from vesselforge.generator.training.pace import Pace
from vesselforge.generator.training.snapshots import Scorer, Snapshot
from vesselforge.generator.training.trainer import ADA_INTERVAL, Schedule, Trainer
from vesselforge.generator.transfer.start import Start, begin
from vesselforge.generator.values import to_network
from vesselforge.generator.views import load_views

REALS = 32
"""Images in reals.png."""
REAL_FEATURES = "real-features.safetensors"


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
        stage = "vesselforge.generator.training.stage:train"
        run_in_workers(stage, settings, inputs, out, progress, settings.processes)
        return
    with enough_memory(settings):
        run = Run(settings, inputs, out, progress)
        run.loop()
    run.finish()


class Run:
    """One training in its folder: what happens around the steps.

    Every process of a team goes through it; the lead alone scores, and writes files, and the
    others take from it what it decided.
    """

    def __init__(
        self, settings: GeneratorSettings, inputs: Inputs, out: Path, progress: Progress
    ) -> None:
        """Begin, or go on from the newest whole checkpoint."""
        self.settings, self.inputs, self.out, self.progress = settings, inputs, out, progress
        self.scratch, self.team, self.device = out / SCRATCH, here(), pick_device(settings.device)
        folder, cfg = inputs["images"].path, settings
        self.views = load_views(
            folder, cfg.presentation, cfg.resolution, cfg.channels, cfg.labels
        )  # fmt: skip
        self.scorer = Scorer(settings, self.views, self.device, self.scratch / REAL_FEATURES)
        self.pace = Pace(self.device, self.scratch if self.team.lead else None)
        self.total = Schedule.of(settings, continued=False).steps
        self.tick_every = self._steps_in(settings.tick_kimg)
        self.snapshot_every = self._steps_in(settings.snapshot_kimg)
        self.figures: dict[str, float] = {}  # in the line of progress
        found = newest_checkpoint(self.scratch)
        with restoring(self.scratch):
            self.course = Course() if found is None else Course.unpack(found[2]["course"])
        self.before = self.course.needs  # what the newest checkpoint needs
        self.start, self.trainer = self._begin() if found is None else self._continue(*found[1:])
        if found is not None:
            progress.message(f"generator: going on from step {self.trainer.step}")
        if self.team.lead:
            keep_log(out, self.course.logged)
            write_png(out / "reals.png", self._real_grid())

    def loop(self) -> None:
        """Train to the end. Raises Interrupted after saving when asked to stop."""
        while self.trainer.step < self.total:
            self._advance()
            step, stop = self.trainer.step, self.team.any(self.progress.stop_requested)
            ended = step == self.total
            tick = ended or step % self.tick_every == 0
            snapshot = ended or step % self.snapshot_every == 0
            due = step % self.settings.checkpoint_every == 0
            trouble = self._diverged(tick or snapshot or due or stop or step % ADA_INTERVAL == 0)
            if trouble is None and tick:
                self._tick()
            if trouble is None and snapshot:
                trouble = self._snapshot()
            if trouble is not None:
                self._roll_back(trouble)
            elif not ended and (snapshot or stop or (due and self.pace.may_save())):
                self._save("snapshots" if snapshot else "bookkeeping")
            if stop and self.trainer.step < self.total:
                raise Interrupted(f"generator.train stopped after step {step} of {self.total}")
            if self.pace.quiet():
                self._show()

    def _begin(self) -> tuple[Start, Trainer]:
        """The training at its first step."""
        cfg, views = calmer(self.settings, len(self.course.rollbacks)), self.views
        earlier, say = self.inputs.get("start"), self.progress.message
        start = begin(cfg, say, earlier, views.channels.count, views.c_dim)
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
        cfg = calmer(self.settings, len(self.course.rollbacks))
        schedule = Schedule.of(cfg, continued=start.continued)
        start.to(self.device)
        networks = start.generator, start.discriminator, start.average
        return Trainer(cfg, schedule, *networks, self.views.labels, self.progress.message)

    def _real_grid(self) -> NDArray[np.uint8]:
        shown = REALS if self.views.presentation == "patch" else min(REALS, len(self.views))
        reals = self.views.batch(shown, self.settings.seed, 0)
        return grid_of(pictures(reals, self.views.channels))

    def _advance(self) -> None:
        cfg = self.trainer.settings
        drawn = cfg.batch, cfg.seed, self.trainer.step
        real = to_network(self.views.batch(*drawn), self.device)
        self.trainer.advance(real, self.views.batch_labels(*drawn))
        self.course.clock += 1
        self.pace.shown(cfg.batch)

    def _diverged(self, wait: bool) -> Trouble | None:
        """Whether a loss was no number; without `wait` only if that is known for nothing."""
        step = self.trainer.failed_at(wait)
        return None if step is None else Trouble(step, "the loss is no longer a finite number")

    def _tick(self) -> None:
        """A line of the log, and one of progress."""
        with self.pace.aside("bookkeeping"):
            figures = {name: round(value, 6) for name, value in self.trainer.report().items()}
            self._log(figures)
        self.figures |= figures | self.pace.tick(self.trainer.step)
        self._show()

    def _show(self) -> None:
        done, total = self._kimg(self.trainer.step), self._kimg(self.total)
        self.progress.update(done, total, "kimg", **self.figures)

    def _snapshot(self) -> Trouble | None:
        """Grid, scores, and weights while they are among the best; what the scores say."""
        course = self.course
        with self.pace.aside("snapshots"):
            seen = self.team.from_lead(self._look() if self.team.lead else None)
        taken, words = Snapshot.unpack(seen[0]), dict(seen[1])
        course.snapshots = retained([*course.snapshots, taken], self.settings.keep_best)
        if self.team.lead and taken.file in course.files:
            save_tensors(self.out / taken.file, self.trainer.average.state_dict())
        if taken.finite:
            self._tell(taken)
        return collapsed(course.snapshots, words)

    def _look(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Draw the grid, score the samples: the snapshot as JSON, and what is wrong with it."""
        average, views = self.trainer.average, self.views
        grid = sample_grid(
            average, self.settings.seed, labels=views.labels, channels=views.channels
        )  # fmt: skip
        write_png(self.out / f"grid-{self.trainer.step:06d}.png", grid)
        taken = self.scorer.take(self.trainer, self.course.clock)
        if not taken.scored:
            return taken.pack(), {}
        words = symptoms(self.course.snapshots, taken, self.scorer.floor)
        return replace(taken, symptoms=tuple(words)).pack(), words

    def _tell(self, taken: Snapshot) -> None:
        """Log the scores; the first time beside what no sample can be expected to fall below."""
        if not self.team.lead:
            self.course.logged += 1
            return
        first, best = len(self.course.snapshots) == 1, self.course.best
        self._log(taken.logged() | (self.scorer.floor_scores() if first else {}))
        self.figures["kid"] = taken.kid[0]
        praise = ", the best so far" if best is not None and best.step == taken.step else ""
        self.progress.message(taken.told(self.scorer.floor) + praise)

    def _roll_back(self, trouble: Trouble) -> None:
        """Go back to the best snapshot, or to the beginning, and on from there more calmly."""
        course, best = self.course, self.course.refuge
        if len(course.rollbacks) >= self.settings.rollbacks:
            raise given_up(self.trainer.settings, trouble, self._where(best))
        del self.trainer, self.start  # two of them may not fit into memory
        to = 0 if best is None else best.step
        course.snapshots = [taken for taken in course.snapshots if taken.step <= to]
        course.rollbacks.append({"from_step": trouble.step, "step": to, "reason": trouble.reason})
        if best is None:
            self.start, self.trainer = self._begin()
        else:
            found = read_checkpoint(self.scratch, best.clock)
            self.start, self.trainer = self._continue(*found)
        now = {"lr": self.trainer.settings.lr, "r1_gamma": self.trainer.schedule.r1_gamma}
        self._log({"rollback": len(course.rollbacks)} | course.rollbacks[-1] | now)
        self.progress.message(
            f"generator: at step {trouble.step}, {trouble.reason}; going back to step {to} and on "
            f"with lr {now['lr']:g} and r1_gamma {now['r1_gamma']:g} (rollback "
            f"{len(course.rollbacks)} of at most {self.settings.rollbacks})"
        )
        self._save("snapshots")

    def _where(self, best: Snapshot | None) -> str:
        if best is None:
            return "it had no snapshot yet"
        return f"its best snapshot, of step {best.step}, is {self.out / best.file}"

    def _save(self, what: str) -> None:
        """Write a checkpoint; then let go of what neither it nor the one before it needs."""
        course, trainer, before = self.course, self.trainer, self.before
        self.before = spare, files = course.needs
        state = {"step": trainer.step, "trainer": trainer.state(), "course": course.pack()}
        state["start"] = facts_of(self.start)
        if self.team.lead:
            with self.pace.saving(what):
                tensors = trainer.tensors()
                save_checkpoint(self.scratch, course.clock, tensors, state, spare | before[0])
                self._discard(files | before[1])

    def _discard(self, kept: set[str]) -> None:
        for path in self.out.glob("snapshot-*.safetensors"):
            if path.name not in kept:
                path.unlink()

    def _log(self, entry: dict[str, Any]) -> None:
        step = self.trainer.step
        if self.team.lead:
            append_log(self.out, {"step": step, "kimg": self._kimg(step)} | entry)
        self.course.logged += 1

    def _kimg(self, steps: int) -> float:
        return steps * self.settings.batch / 1000

    def _steps_in(self, kimg: float) -> int:
        return max(1, round(kimg * 1000 / self.settings.batch))

    def finish(self) -> None:
        """Write the artifact: the networks of one snapshot, and what is known of all."""
        course, cfg = self.course, self.settings
        chosen = course.best if cfg.deliver == "best" else course.snapshots[-1]
        assert chosen is not None  # there is one at the last step
        if not self.team.lead:
            return
        if chosen.clock != course.clock:
            tensors, state = read_checkpoint(self.scratch, chosen.clock)
            self.trainer.restore(chosen.step, tensors, state["trainer"])
        self._discard(course.files - {chosen.file})  # it is AVERAGE already
        save_tensors(self.out / AVERAGE, self.trainer.average.state_dict())
        save_tensors(self.out / CURRENT, self.trainer.generator.state_dict())
        save_tensors(self.out / CRITIC, self.trainer.discriminator.state_dict())
        images = self.inputs["images"].digest
        describe(self.out, images, self.start, self.trainer, self.scorer, course, chosen)
