"""The one training loop of the segmenters: teacher, pretraining and fine-tuning.

The random stream of a step depends on (seed, step) alone, so a run that was killed and resumed
equals an undisturbed one bit for bit on the same device. Test images never come near this file.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from configs.errors import DataError, TrainingError
from configs.settings import FitSettings
from data.crops import CropSource
from data.devices import pick_device, slow_bfloat16
from data.imageset import LoadedImage, load_image, read_index
from data.log import append_log
from data.progress import Interrupted, Progress
from data.store import METRICS, Inputs, write_json
from segmenter.metrics import best_threshold, ranking
from segmenter.models import Member, Model, save_model
from segmenter.training.losses import LOSSES
from segmenter.training.state import FitState, network_options, new_state, resume, save

LOG_EVERY = 10
SETTLE_BATCHES = 8


def train(settings: FitSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.train`. inputs: `images`; `validation` if other; `start` to go on from.

    Writes the weights that were best on validation (model.safetensors, model.json with the
    threshold chosen there), log.jsonl and metrics.json. Raises TrainingError when the loss is
    no longer a number, Interrupted (checkpoint saved) when asked to stop.
    """
    device = pick_device(settings.device)
    if settings.precision == "bfloat16" and slow_bfloat16(device):
        progress.message("this CPU has no bfloat16 arithmetic: `precision: float32` is faster here")
    train_images = _load(inputs["images"].path, "train", settings.soft_labels)
    validation = _load(inputs.get("validation", inputs["images"]).path, "validation", soft=False)
    source = CropSource(
        train_images, settings.crop, settings.batch, settings.seed, settings.augment
    )
    start = inputs["start"].path if "start" in inputs else None
    state = new_state(settings, start, device)
    resume(state, out, progress)
    while state.step < settings.steps:
        if progress.stop_requested:
            save(state, out)
            raise Interrupted
        loss = _descend(state, source, settings, device)
        state.step += 1
        _after_step(state, loss, settings, source, validation, out, progress)
    _finish(state, settings, out)


def _load(folder: Path, split: str, soft: bool) -> list[LoadedImage]:
    images = [load_image(folder, record, soft) for record in read_index(folder, split)]
    if not images:
        raise DataError(f"{folder}: no {split} images in this set; nothing to train on")
    for image in images:
        if image.target is None:
            raise DataError(f"{folder}: {split} image {image.id} has no vessel mask")
    return images


def learning_rate(settings: FitSettings, step: int) -> float:
    """Learning rate of a step (from 0): linear warm-up, then the schedule over all steps."""
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    share = step / settings.steps
    if settings.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * share))
    elif settings.schedule == "step":
        factor = 0.1 if share >= 2 / 3 else 1.0  # paper: 1e-3 for 100 epochs, 1e-4 for 50
    else:
        factor = 1.0
    return settings.lr * warm * factor


def _descend(
    state: FitState, source: CropSource, settings: FitSettings, device: torch.device
) -> float:
    """One optimiser step; the loss before it."""
    images, targets, _ = source.batch_at(state.step)
    torch.manual_seed(settings.seed * 1_000_003 + state.step)  # DropBlock's draws
    state.network.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(settings, state.step)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    low = settings.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        logits = state.network(images)
    loss = LOSSES[settings.loss](logits.float(), targets.to(device))
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"segmenter.train: the loss is {value} at step {state.step} "
            f"(lr {learning_rate(settings, state.step):.2g}); lower `lr` "
            f"(found {settings.lr:g}), or look for damaged images with `vesselforge data check`"
        )
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    if state.average is not None:
        _average(state.average, state.network, settings.ema, state.step)
    return value


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """average ← decay·average + (1 − decay)·network, weights only (see `settle_statistics`).

    Early on the decay is (1 + step)/(10 + step), so that the initial weights are forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)


@torch.no_grad()
def settle_statistics(network: nn.Module, source: CropSource, first: int) -> None:
    """Measure BatchNorm's running statistics anew on SETTLE_BATCHES batches of training crops.

    With the paper's momentum they trail hundreds of steps behind the weights, include DropBlock's
    noise, and do not belong to averaged weights at all: after 250 steps the validation F1 was
    0.06 instead of 0.7. (Wu and Johnson 2021, section 3: precise BatchNorm.)
    """
    device = next(network.parameters()).device
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    for step in range(first, first + SETTLE_BATCHES):
        images, _, _ = source.batch_at(step)
        network(images.to(device).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def _after_step(
    state: FitState,
    loss: float,
    settings: FitSettings,
    source: CropSource,
    validation: list[LoadedImage],
    out: Path,
    progress: Progress,
) -> None:
    """Log, validate and save when due."""
    last = state.step == settings.steps
    if state.step % LOG_EVERY == 0 or last:
        lr = learning_rate(settings, state.step - 1)
        append_log(out, {"step": state.step, "loss": round(loss, 6), "lr": lr})
        figures = {"loss": loss} | {k: v for k, v in state.best.items() if k == "f1"}
        progress.update(state.step, settings.steps, "step", **figures)
    if state.step % settings.validate_every == 0 or last:
        settle_statistics(state.judged, source, first=settings.steps)  # crops never trained on
        figures = validate(state.judged, validation, next(state.network.parameters()).device)
        append_log(out, {"step": state.step, "validation": figures})
        if not state.best or figures["f1"] > state.best["f1"]:
            state.best = figures | {"step": state.step}
            weights = state.judged.state_dict()
            state.best_weights = {name: value.clone() for name, value in weights.items()}
    if state.step % settings.checkpoint_every == 0:
        save(state, out)


def validate(
    network: nn.Module, images: list[LoadedImage], device: torch.device
) -> dict[str, float]:
    """Pooled F1 and AUC inside the FOV, at the threshold that maximises F1 on these images."""
    training = network.training
    model = Model([network], 0.5, device)
    probs = [model.predict(image.image) for image in images]
    network.train(training)
    references = [reference_mask(image) for image in images]
    fovs = [image.fov for image in images]
    threshold, f1 = best_threshold(probs, references, fovs)
    inside = np.concatenate([p[f] for p, f in zip(probs, fovs, strict=True)])
    truth = np.concatenate([r[f] for r, f in zip(references, fovs, strict=True)])
    auc = ranking(inside, truth)["auc"]
    figures = {"f1": f1, "threshold": threshold, "auc": auc}
    return {name: round(value, 6) for name, value in figures.items() if math.isfinite(value)}


def reference_mask(image: LoadedImage) -> NDArray[np.bool_]:
    """The hard reference of an image, [H, W] bool."""
    assert image.target is not None
    return image.target > 0.5


def _finish(state: FitState, settings: FitSettings, out: Path) -> None:
    member = Member(settings.network, network_options(settings), "model.safetensors")
    best = dict(state.best)
    save_model(out, [(member, state.best_weights)], best["threshold"], "model.json")
    step = int(best.pop("step"))
    metrics = {"validation": best, "best_step": step, "steps": settings.steps}
    write_json(out / METRICS, metrics)
