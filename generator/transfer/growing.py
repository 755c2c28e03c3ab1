"""Networks of another resolution: blocks are added to, or dropped from, the image side.

A grown generator shows the old image, upsampled; a grown discriminator judges the downsampled
image as the old one did. A shrunk generator shows what its image branch holds at that size. In a
shrunk discriminator a new first layer answers flat colours as the dropped blocks did.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from vesselforge.generator.networks import Discriminator
from vesselforge.generator.transfer.drafts import GAIN, NEW, RANDOM, SLOPE, Draft

COLOURS = 96
"""Random flat colours that the first layer of a shrunk discriminator is fitted on; it has at most
channels + 1 unknowns for each feature."""
FLAT = 8
"""Side of the last dropped block's answer to a flat colour: its centre sees no border."""
CHUNK = 4


def _block_of(name: str) -> int:
    match = re.match(r"(?:synthesis\.)?b(\d+)\.", name)
    return int(match[1]) if match else 0


def _drop_blocks(draft: Draft, above: int) -> None:
    for name in [name for name in draft.tensors if _block_of(name) > above]:
        draft.drop(name, f"block above {above} x {above}")


def resize_generator(draft: Draft, resolution: int) -> None:
    """Exact for `skip`; `resnet` and `orig` have one torgb, at the end, which starts anew."""
    old = draft.kwargs["img_resolution"]
    fresh = draft.fresh(img_resolution=resolution)
    _drop_blocks(draft, resolution)
    skip = draft.architecture == "skip"
    for name in [n for n in draft.tensors if not skip and ".torgb." in n]:
        draft.drop(name, "of a block that is no longer the last")
    for name, value in fresh.items():
        if name in draft.tensors:
            continue
        if skip and _block_of(name) > old and name.endswith("torgb.weight"):
            draft.change(name, torch.zeros_like(value), "zero: adds nothing to the image yet", NEW)
        else:
            draft.change(name, value, RANDOM, NEW)


def resize_discriminator(draft: Draft, resolution: int) -> None:
    """Double until it is large enough, or drop blocks at once."""
    while draft.kwargs["img_resolution"] < resolution:
        _double(draft)
    if draft.kwargs["img_resolution"] > resolution:
        _shrink(draft, resolution)


def _double(draft: Draft) -> None:
    """Put a block in front that hands on what the old first layer saw of the image at half size.

    fromrgb and conv0 carry ±image, from which lrelu takes nothing away: lrelu(x) − lrelu(−x) =
    1.2·x. conv1 downsamples, by the same filter as images are, and does what fromrgb did.
    """
    old = draft.kwargs["img_resolution"]
    fresh = draft.fresh(img_resolution=2 * old)
    new, first = f"b{2 * old}", f"b{old}.fromrgb"
    channels = draft.kwargs["img_channels"]
    width = fresh[f"{new}.conv0.bias"].numel()
    for name, value in fresh.items():
        if _block_of(name) == 2 * old:
            draft.change(name, value, RANDOM, NEW)
    if draft.architecture == "skip":  # fromrgb goes on looking at the image, downsampled
        for part in ("weight", "bias"):
            _zero(draft, f"{new}.conv1.{part}")
        return
    weight, bias = draft.tensors[f"{first}.weight"][:, :, 0, 0], draft.tensors[f"{first}.bias"]
    moved = f"moved to {new}.conv1"
    if width < 2 * channels:
        moved = f"{new} is too narrow to hand the image on: it starts at random"
    for name in [name for name in draft.tensors if name.startswith(f"{first}.")]:
        draft.drop(name, moved)
    if width < 2 * channels:
        return
    both = torch.cat([torch.eye(channels), -torch.eye(channels)])  # [2C, C]: ±image
    undo = both.t() / (GAIN * (1 + SLOPE))  # [C, 2C]: back to the image
    gain = math.sqrt(9 * width)  # stored 3 x 3 weights are used as W/√(9·inputs)
    how = "hands the image on"
    _fill(draft, f"{new}.fromrgb", both * math.sqrt(channels), torch.zeros(2 * channels), how)
    _fill(draft, f"{new}.conv0", both @ undo * gain, torch.zeros(2 * channels), how)
    scale = 1.0
    if draft.architecture == "resnet":
        scale = GAIN  # the branch ends in the gain √½
        _zero(draft, f"{new}.skip.weight")
    kernel = scale * gain / math.sqrt(channels) * weight @ undo
    _fill(draft, f"{new}.conv1", kernel, scale * bias, f"does what {first} did")


def _zero(draft: Draft, name: str) -> None:
    draft.change(name, torch.zeros_like(draft.tensors[name]), "zero: adds nothing yet", NEW)


def _fill(draft: Draft, layer: str, kernel: Tensor, bias: Tensor, how: str) -> None:
    """Write the centre tap of a layer's first outputs; to these, other inputs and taps are 0."""
    weight, whole = draft.tensors[f"{layer}.weight"].clone(), draft.tensors[f"{layer}.bias"].clone()
    outputs, inputs = kernel.shape
    middle = weight.shape[-1] // 2
    weight[:outputs] = 0
    weight[:outputs, :inputs, middle, middle] = kernel
    whole[:outputs] = bias
    rest = "" if outputs == len(weight) else ", other outputs random"
    draft.change(f"{layer}.weight", weight, how + rest, NEW)
    draft.change(f"{layer}.bias", whole, how, NEW)


def _shrink(draft: Draft, resolution: int) -> None:
    first = f"b{resolution}.fromrgb"
    fitted = None
    if draft.architecture != "skip":  # which has a fromrgb at every size
        fitted = _flat_answers(draft, resolution)
    fresh = draft.fresh(img_resolution=resolution)
    _drop_blocks(draft, resolution)
    if fitted is not None:
        weight, bias = _fit(*fitted)
        how = f"answers flat colours as the blocks above {resolution} did"
        draft.change(f"{first}.resample_filter", fresh[f"{first}.resample_filter"], "filter", NEW)
        draft.change(f"{first}.weight", weight, how, NEW)
        draft.change(f"{first}.bias", bias, how, NEW)


@torch.no_grad()
def _flat_answers(draft: Draft, resolution: int) -> tuple[Tensor, Tensor]:
    """Return colours `[K, C]` in [-1, 1] and what enters block b{resolution} for them."""
    network = draft.network()
    assert isinstance(network, Discriminator)
    network.load_state_dict(draft.tensors)
    draw = torch.Generator().manual_seed(draft.seed)
    colours = torch.rand(COLOURS, draft.kwargs["img_channels"], generator=draw) * 2 - 1
    side = FLAT * draft.kwargs["img_resolution"] // resolution
    answers = []
    for part in colours.split(CHUNK):
        x: Tensor | None = None
        img: Tensor | None = part[:, :, None, None].expand(-1, -1, side, side)
        for res in network.block_resolutions:
            if res > resolution:
                x, img = getattr(network, f"b{res}")(x, img)
        assert x is not None
        answers.append(x[:, :, FLAT // 2, FLAT // 2])
    return colours, torch.cat(answers)


def _fit(colours: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of √2·lrelu(W·colour + b) to answers `[K, features]`, weight as it is stored.

    The inverse of lrelu makes the problem linear; each equation is weighted by lrelu's slope, so
    that errors count as they appear in the answers.
    """
    slope = torch.where(answers < 0, SLOPE, 1.0).t()[:, :, None]  # [features, K, 1]
    target = answers.t()[:, :, None] / GAIN  # slope × (inverse of lrelu)
    design = torch.cat([colours, torch.ones(len(colours), 1)], dim=1)
    found = torch.linalg.lstsq((slope * design).double(), target.double()).solution[:, :, 0].float()
    channels = colours.shape[1]
    return (found[:, :channels] * math.sqrt(channels))[:, :, None, None], found[:, channels]
