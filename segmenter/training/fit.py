"""The one training loop of the segmenters: teacher, pretraining and fine-tuning.

The random stream of a step depends on (seed, step) alone, so a run that was killed and resumed
equals an undisturbed one bit for bit on the same device. Test images never come near this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch._dynamo  # torch.optim would, 1.5 s in every process of a stage
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError, DataError, TrainingError
from vesselforge.configs.settings import FitSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.devices import pick_device, slow_bfloat16
from vesselforge.engine.files import write_json
from vesselforge.engine.log import append_log, cut_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.calibration import calibrate
from vesselforge.segmenter.combine import MEAN
from vesselforge.segmenter.components import ALL, Components
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.models import place
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.operating_point import choose_pieces, choose_threshold
from vesselforge.segmenter.training.batch_sources import Source, source_of
from vesselforge.segmenter.training.learning_rate import learning_rate
from vesselforge.segmenter.training.losses import training_loss
from vesselforge.segmenter.training.state import FitState, network_options, new_state, resume, save
from vesselforge.segmenter.training.validation import (
    precise_batch_norm,
    predictions,
    validate,
)

LOG_EVERY = 10


@dataclass(frozen=True)
class Job:
    """What stays the same during a training. development: on which the threshold is chosen when
    the settings say so; real images only."""

    settings: FitSettings
    source: Source
    validation: list[LoadedImage]
    development: list[LoadedImage]
    device: torch.device
    out: Path
    progress: Progress


def train(settings: FitSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.train`. inputs: `images`; `synthetic`, a second set for mixed batches;
    `validation` if other than `images`, which then may be synthetic; `start` to go on from.

    Writes the weights that were best on validation, or the last (model.safetensors, model.json
    with the threshold), log.jsonl and metrics.json. Statistics of BatchNorm are those of the
    (mixed) batches; weights and threshold are chosen on images of `validation`, never of
    `synthetic`. Raises TrainingError when the loss is no longer a number, Interrupted (checkpoint
    saved) when asked to stop.
    """
    device = pick_device(settings.device)
    if settings.precision == "bfloat16" and slow_bfloat16(device):
        progress.message("this CPU has no bfloat16 arithmetic: `precision: float32` is faster here")
    state = new_state(settings, inputs["start"].path if "start" in inputs else None, device)
    source = _source(settings, inputs, state.network.multiple)
    judged = inputs.get("validation", inputs["images"]).path
    validation, development = _load(judged, VALIDATION), []
    if settings.threshold_on == "development":  # pseudo-labels choose no threshold
        development = validation + _load(judged, TRAIN)
    job = Job(settings, source, validation, development, device, out, progress)
    resume(state, out, progress)
    cut_log(out, state.step)
    while state.step < settings.steps and not state.plateau.over:
        if progress.stop_requested:
            save(state, out)
            raise Interrupted
        loss = _descend(state, job)
        state.step += 1
        _after_step(state, loss, job)
    _finish(state, job)


def _source(settings: FitSettings, inputs: Inputs, multiple: int) -> Source:
    """Batches of the training images of `images` and, where given, `synthetic`."""
    sets = [
        _load(inputs[name].path, TRAIN, labels=True)
        for name in ("images", "synthetic")
        if name in inputs
    ]
    return source_of(settings, sets[0], multiple, *sets[1:])


def _load(folder: Path, split: str, labels: bool = False) -> list[LoadedImage]:
    """labels: those of a teacher, with probabilities and weights where the set has them."""
    images = [load_image(folder, record, labels) for record in read_index(folder, split)]
    if not images:
        raise DataError(f"{folder}: no {split} images in this set; nothing to train on")
    for image in images:
        if image.target is None:
            raise DataError(f"{folder}: {split} image {image.id} has no vessel mask")
    return images


def _descend(state: FitState, job: Job) -> float:
    """One optimiser step; the loss before it."""
    settings = job.settings
    batch = job.source.batch_at(state.step).each(lambda x: x.to(job.device))
    torch.manual_seed(settings.seed * 1_000_003 + state.step)  # DropBlock's draws
    state.network.train()
    rate = learning_rate(settings, state.step, state.plateau.factor)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    images = batch.image.contiguous(memory_format=torch.channels_last)
    loss = training_loss(
        _outputs(state, images, settings),
        batch.target,
        settings.loss,
        settings.head_weights,
        weight=batch.weight,
    )
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


def _outputs(state: FitState, images: Tensor, settings: FitSettings) -> list[Tensor]:
    """Logits of as many heads as have a weight. Raises ConfigError when the network has fewer."""
    wanted = len(settings.head_weights)
    low = settings.precision == "bfloat16"
    with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
        found: list[Tensor] = state.network.outputs(images, every=wanted > 1)
    if len(found) < wanted:
        raise ConfigError(
            f"head_weights: {settings.network} has {len(found)} output(s), found {wanted} weights; "
            "give one weight a head, finest first"
        )
    return found


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """average ← decay·average + (1 − decay)·network, weights only (see `precise_batch_norm`).

    Early on the decay is (1 + step)/(10 + step), so that the initial weights are forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)


def _after_step(state: FitState, loss: float, job: Job) -> None:
    """Log, validate and save when due."""
    settings, last = job.settings, state.step == job.settings.steps
    if state.step % LOG_EVERY == 0 or last:
        rate = learning_rate(settings, state.step - 1, state.plateau.factor)
        append_log(job.out, {"step": state.step, "loss": round(loss, 6), "lr": rate})
        figures = {"loss": loss} | {k: v for k, v in state.best.items() if k == "f1"}
        job.progress.update(state.step, settings.steps, "step", **figures)
    if state.step % settings.validate_every == 0 or last:
        _judge(state, job)
    if state.step % settings.checkpoint_every == 0:
        save(state, job.out)


def _judge(state: FitState, job: Job) -> None:
    """Validate, and keep the weights if they are better (or simply the last)."""
    settings = job.settings
    first = settings.steps  # crops never trained on
    precise_batch_norm(state.judged, job.source, first)
    figures = validate(state.judged, job.validation, job.device)
    append_log(job.out, {"step": state.step, "validation": figures})
    state.plateau.see(figures["loss"], settings)
    better = not state.best or figures["f1"] > state.best["f1"]
    if better or settings.keep == "last":
        state.best = figures | {"step": state.step}
        weights = state.judged.state_dict()
        state.best_weights = {name: value.clone() for name, value in weights.items()}


def _finish(state: FitState, job: Job) -> None:
    settings, best = job.settings, dict(state.best)
    member = Member(settings.network, network_options(settings), "model.safetensors")
    threshold, components = best["threshold"], ALL
    if settings.threshold_on == "none":
        threshold = 0.5
    elif settings.threshold_on == "development" or settings.calibrate or settings.components:
        network = build(settings.network, **network_options(settings))
        network.load_state_dict(state.best_weights)
        place(network, job.device).eval()
        threshold, components = _choose(network, job)
        member = replace(member, temperature=network.temperature, shift=network.shift)
    save_model(
        job.out, [(member, state.best_weights)], threshold, "model.json", components=components
    )
    step = int(best.pop("step"))
    metrics = {"validation": best, "best_step": step, "steps": state.step, "threshold": threshold}
    metrics |= member.calibration
    metrics |= {} if components == ALL else {"components": components.as_json()}
    write_json(job.out / METRICS, metrics)


def _choose(network: Segmenter, job: Job) -> tuple[float, Components]:
    """Calibrate the network, then choose the threshold with the highest pooled F1 inside the FOVs,
    then the rule of components: of these what the settings ask for, in this order."""
    images = job.development or job.validation
    if job.settings.calibrate:
        calibrate(network, images)
    maps = [prob[None] for prob in predictions(network, images, job.device)]
    threshold, _ = choose_threshold(MEAN, maps, images)
    if not job.settings.components:
        return threshold, ALL
    return threshold, choose_pieces(MEAN, maps, images, threshold)
