"""The one training loop of the segmenters: teacher, pretraining and fine-tuning.

The random stream of a step depends on (seed, step) alone, so a run that was killed and resumed
equals an undisturbed one bit for bit on the same device with the same thread count. Test images
never come near this file.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch._dynamo  # torch.optim would, 1.5 s in every process of a stage
from torch import Tensor, nn

from vesselforge.configs.errors import DataError, TrainingError
from vesselforge.configs.settings import FitSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.devices import pick_device, slow_bfloat16
from vesselforge.engine.files import write_json
from vesselforge.engine.log import append_log, cut_log
from vesselforge.engine.longer import set_aside, take_back
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.calibration import calibrate
from vesselforge.segmenter.combine import MEAN
from vesselforge.segmenter.inference.showing import resized
from vesselforge.segmenter.magnification import magnification_of
from vesselforge.segmenter.model_files import Member, calibration_of, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import choose_seen_pieces, rechoose
from vesselforge.segmenter.training.batch_sources import Batches
from vesselforge.segmenter.training.learning_rate import learning_rate
from vesselforge.segmenter.training.longer import OVER_ALL_STEPS
from vesselforge.segmenter.training.losses import training_loss
from vesselforge.segmenter.training.sizes import Sizes
from vesselforge.segmenter.training.state import network_options, new_state, resume, save
from vesselforge.segmenter.training.validation import precise_batch_norm, validate

LOG_EVERY = 10
UNSEEN = 10**9
"""A step that no training comes to, and no setting of its length moves."""


def train(settings: FitSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.train`. inputs: `images`; `synthetic`, a second set for mixed batches;
    `validation` if other than `images`, which then may be synthetic; `start` to go on from.

    Writes the weights that were best on validation, or the last (model.safetensors, model.json
    with the threshold), log.jsonl and metrics.json. Statistics of BatchNorm are those of the
    (mixed) batches; weights and threshold are chosen on images of `validation`, never of
    `synthetic`. Raises TrainingError when the loss is no longer a number, Interrupted (checkpoint
    saved) when asked to stop.
    """
    fit = Fit(settings, inputs, out, progress)
    state = fit.state
    take_back(out)
    watched = resume(state, settings, out, progress)
    cut_log(out, state.step - (not watched))
    if not watched:
        fit.watch()
    while state.step < settings.steps and not state.plateau.over:
        if progress.stop_requested:
            save(state, out)
            raise Interrupted
        fit.step()
    if state.step < settings.steps:  # a later `early_stop` goes on from here
        save(state, out)
        set_aside(out, {state.step})
    fit.finish()


class Fit:
    """A training: what stays the same, and `state`, all that it carries from step to step."""

    def __init__(
        self, settings: FitSettings, inputs: Inputs, out: Path, progress: Progress
    ) -> None:
        self.settings, self.out, self.progress = settings, out, progress
        self.device = pick_device(settings.device)
        if settings.precision == "bfloat16" and slow_bfloat16(self.device):
            progress.message(
                "this CPU has no bfloat16 arithmetic: `precision: float32` is faster here"
            )
        start = inputs.get("start")
        self.state = new_state(settings, None if start is None else start.path, self.device)
        self.sizes = Sizes(start)
        names = [name for name in ("images", "synthetic") if name in inputs]
        sets = [_load(inputs[name].path, TRAIN, labels=True) for name in names]
        self.judged = judged = inputs.get("validation", inputs["images"]).path
        self.validation = self.development = _load(judged, VALIDATION)
        if settings.threshold_on == "development":  # pseudo-labels choose no threshold
            self.development = self.validation + _load(judged, TRAIN)
        for place, name in enumerate(names):
            like = sets[place] if inputs[name].path == judged else self.validation
            sets[place] = self.sizes.shown(sets[place], like)
        self.batches = Batches(settings, self.state.network.multiple, *sets)

    def step(self) -> None:
        """One optimiser step; then log, validate and save what is due."""
        state = self.state
        loss = self._descend()
        rate = state.optimizer.param_groups[0]["lr"]
        state.step, state.last = state.step + 1, {"loss": round(loss, 6), "lr": rate}
        self.watch()

    def watch(self) -> None:
        """Log, validate and save what is due; before that, at the last step, keep the state, from
        which a longer training goes on."""
        settings, state = self.settings, self.state
        last = state.step == settings.steps
        if last:
            save(state, self.out, watched=False)
            set_aside(self.out, {state.step})
        if state.step % LOG_EVERY == 0 or last:
            self._log()
        if state.step % settings.validate_every == 0 or last:
            self._judge()
        if state.step % settings.checkpoint_every == 0 and not last:
            save(state, self.out)

    def _log(self) -> None:
        state = self.state
        append_log(self.out, {"step": state.step} | state.last)
        figures = state.last | {k: v for k, v in state.best.items() if k == "f1"}
        self.progress.update(state.step, self.settings.steps, "step", **figures)

    def _descend(self) -> float:
        """One optimiser step; the loss before it."""
        settings, state = self.settings, self.state
        batch = self.batches.batch_at(state.step).each(lambda x: x.to(self.device))
        torch.manual_seed(settings.seed * 1_000_003 + state.step)  # DropBlock's draws
        state.network.train()
        rate = learning_rate(settings, state.step, state.plateau.factor)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        outputs = self._outputs(batch.image.contiguous(memory_format=torch.channels_last))
        heads = settings.head_weights
        loss = training_loss(outputs, batch.target, settings.loss, heads, batch.weight)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"segmenter.train: the loss is {value} at step {state.step} (lr {rate:.2g}); lower "
                f"`lr` (found {settings.lr:g}), or look for damaged images with "
                "`vesselforge data check`"
            )
        state.optimizer.zero_grad()
        loss.backward()
        if settings.clip_value:
            nn.utils.clip_grad_value_(state.network.parameters(), settings.clip_value)
        state.optimizer.step()
        if state.average is not None:
            _average(state.average, state.network, settings.ema, state.step)
        return value

    def _outputs(self, images: Tensor) -> list[Tensor]:
        """Logits of as many heads as have a weight."""
        wanted, low = len(self.settings.head_weights), self.settings.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
            return self.state.network.outputs(images, every=wanted > 1)[:wanted]

    def _judge(self) -> None:
        """Validate, and keep the weights if they are better (or simply the last)."""
        settings, state = self.settings, self.state
        spread = settings.schedule in OVER_ALL_STEPS
        unseen = settings.steps if spread else UNSEEN  # crops never trained on
        precise_batch_norm(state.judged, self.batches, unseen)
        figures = validate(state.judged, self.validation, self.device, self.sizes)
        append_log(self.out, {"step": state.step, "validation": figures})
        state.plateau.see(figures["loss"], settings)
        better = not state.best or figures["f1"] > state.best["f1"]
        if better or settings.keep == "last":
            state.best = figures | {"step": state.step}
            weights = state.judged.state_dict()
            state.best_weights = {name: value.clone() for name, value in weights.items()}

    def finish(self) -> None:
        """Write the model of the kept weights, and metrics.json."""
        settings, network, best = self.settings, self.state.network, dict(self.state.best)
        network.load_state_dict(self.state.best_weights)
        model = Model([network], best["threshold"], self.device)
        if settings.threshold_on == "none":
            model.threshold = 0.5
        elif settings.threshold_on == "development" or settings.calibrate or settings.components:
            scales = [self.sizes.of(image) for image in self.development]
            pairs = list(zip(self.development, scales, strict=True))
            if settings.calibrate:
                calibrate(network, [resized(*pair) for pair in pairs])
            maps = [model.members(image.image, scale=scale) for image, scale in pairs]
            rechoose(model, maps, self.development)
            if settings.components:
                shown = maps, self.development, scales
                model.components = choose_seen_pieces(model, MEAN, model.threshold, *shown)
        found = calibration_of(network)
        member = Member(settings.network, network_options(settings), "model.safetensors", **found)
        weights = [(member, self.state.best_weights)]
        if self.sizes.model is None:
            known = magnification_of(self.judged, settings.scales)
        else:
            known = self.sizes.magnification(_load(self.judged, TRAIN))
        save_model(self.out, weights, model.threshold, MEAN, model.components, known)
        step = int(best.pop("step"))
        metrics = {"validation": best, "best_step": step, "steps": self.state.step}
        metrics |= {"threshold": model.threshold} | found | model.components.said()
        write_json(self.out / METRICS, metrics)


def _load(folder: Path, split: str, labels: bool = False) -> list[LoadedImage]:
    """labels: those of a teacher, with probabilities and weights where the set has them."""
    images = [load_image(folder, record, labels) for record in read_index(folder, split)]
    if not images:
        raise DataError(f"{folder}: no {split} images in this set; nothing to train on")
    for image in images:
        if image.target is None:
            raise DataError(f"{folder}: {split} image {image.id} has no vessel mask")
    return images


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """average ← decay·average + (1 − decay)·network, weights only (see `precise_batch_norm`).

    Early on the decay is (1 + step)/(10 + step), so that the initial weights are forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)
