"""Fits trained networks to other images: resolution, image channels, labels.

Every adapter turns one whole network into another whole one, and keeps the function that it
computes wherever that is possible at all: the first picture and the first logits of the new
training are the old ones, seen through the change. What had to be made up starts at zero where a
path leads past it, and at random where not; each tensor's fate is noted for the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.networks import Generator
from vesselforge.generator.networks.ops import normalize_2nd_moment
from vesselforge.generator.transfer.drafts import GAIN, NEW, RANDOM, Draft, Kwargs
from vesselforge.generator.transfer.growing import resize_discriminator, resize_generator


def adapt(draft: Draft, aim: Kwargs) -> Draft:
    """Bring a draft to the resolution, channels and labels of `aim`, whose widths it has.

    Raises CheckpointError for networks with other activations than leaky ReLU.
    """
    present = {name: draft.kwargs[name] for name in ("img_resolution", "img_channels", "c_dim")}
    steps: list[tuple[str, Callable[[Draft, int], None]]] = [
        ("img_channels", change_channels),
        ("c_dim", change_labels),
        ("img_resolution", change_resolution),
    ]
    draft.kwargs = {**aim, **present}
    if any(aim[name] != present[name] for name, _ in steps):
        _require_lrelu(aim)
    for name, step in steps:
        if aim[name] != draft.kwargs[name]:
            step(draft, aim[name])
    return draft


def _require_lrelu(kwargs: Kwargs) -> None:
    for name, value in kwargs.items():
        if isinstance(value, dict):
            _require_lrelu(value)
        elif name == "activation" and value != "lrelu":
            raise CheckpointError(
                f"adapting networks with the activation {value!r} is not supported, only lrelu: "
                "set resolution, channels and labels as the file has them"
            )


# Image channels


def channel_matrix(old: int, new: int) -> Tensor:
    """Return `[new, old]`: how an image of `new` channels is made from one of `old`.

    The first three channels (the only one of grey images) are colours, the rest is kept by
    position: grey is the mean of colours, colours are copies of grey, new channels are 0.
    """
    matrix = torch.zeros(new, old)
    colours = [3 if count >= 3 else 1 for count in (new, old)]
    same = colours[0] == colours[1]
    matrix[: colours[0], : colours[1]] = torch.eye(colours[0]) if same else 1 / colours[1]
    extra = min(new - colours[0], old - colours[1])
    for i in range(extra):
        matrix[colours[0] + i, colours[1] + i] = 1
    return matrix


def change_channels(draft: Draft, count: int) -> None:
    """Generator: its image, mapped by `channel_matrix`. Discriminator: applied to the mapped image
    (so that grey → RGB shares each weight out, and RGB → grey sums them)."""
    old = draft.kwargs["img_channels"]
    draft.kwargs = {**draft.kwargs, "img_channels": count}
    names = [name for name in draft.tensors if ".torgb." in name or ".fromrgb." in name]
    for name in names:
        value = draft.tensors[name]
        if name.endswith(("torgb.weight", "torgb.bias")):
            mapped = torch.tensordot(channel_matrix(old, count), value, dims=1)
            draft.change(name, mapped, f"{_in_words(old, count)}, as the image")
        elif name.endswith("fromrgb.weight"):
            # Stored weights are scaled by 1/√channels when used.
            back = channel_matrix(count, old) * math.sqrt(count / old)
            mapped = torch.einsum("oihw,in->onhw", value, back)
            draft.change(name, mapped, f"{_in_words(old, count)}, logits as of the old channels")


def _in_words(old: int, new: int) -> str:
    words = [f"{old} → {new} channels"]
    if old >= 3 > new:
        words.append("mean over colours")
    elif new >= 3 > old:
        words.append("grey repeated")
    extra_old, extra_new = (count - (3 if count >= 3 else 1) for count in (old, new))
    if extra_new > extra_old:
        words.append(f"{extra_new - extra_old} more from zero")
    elif extra_old > extra_new:
        words.append(f"{extra_old - extra_new} dropped")
    return ", ".join(words)


# Labels


def change_labels(draft: Draft, c_dim: int) -> None:
    """Add, remove, or resize the condition on a label."""
    old = draft.kwargs["c_dim"]
    if old and c_dim:
        _change_classes(draft, old, c_dim)
    elif draft.kind is Generator:
        (_condition_generator if c_dim else _uncondition_generator)(draft, c_dim)
    else:
        (_condition_discriminator if c_dim else _uncondition_discriminator)(draft, c_dim)


def _change_classes(draft: Draft, old: int, new: int) -> None:
    """Classes in common keep their embedding; a new one starts at the mean of all."""
    weight = draft.tensors["mapping.embed.weight"] * math.sqrt(new / old)  # used as W/√classes
    mean = weight.mean(dim=1, keepdim=True).expand(-1, max(0, new - old))
    how = f"{old} → {new} classes" + (", new ones start at the mean" if new > old else "")
    draft.kwargs = {**draft.kwargs, "c_dim": new}
    draft.change("mapping.embed.weight", torch.cat([weight[:, :new], mean], dim=1), how)


def _embeddings(draft: Draft) -> Tensor:
    """Return what each class adds to the input of fc0, `[classes, features]`."""
    weight, bias = draft.tensors["mapping.embed.weight"], draft.tensors["mapping.embed.bias"]
    return normalize_2nd_moment(weight.t() / math.sqrt(weight.shape[1]) + bias)


def _condition_generator(draft: Draft, c_dim: int) -> None:
    """fc0 ignores the label at first: every class shows the pictures of the old network."""
    fresh = draft.fresh(c_dim=c_dim)
    for name in ("mapping.embed.weight", "mapping.embed.bias"):
        draft.change(name, fresh[name], RANDOM, NEW)
    old, width = draft.tensors["mapping.fc0.weight"], fresh["mapping.fc0.weight"].shape[1]
    new = torch.zeros_like(fresh["mapping.fc0.weight"])
    new[:, : old.shape[1]] = old * math.sqrt(width / old.shape[1])  # used as W·lr/√width
    draft.change("mapping.fc0.weight", new, "columns of the label are zero")


def _uncondition_generator(draft: Draft, c_dim: int) -> None:
    """fc0 sees the mean over classes of the embedding, as part of its bias."""
    mean = _embeddings(draft).mean(dim=0)
    weight, bias = draft.tensors["mapping.fc0.weight"], draft.tensors["mapping.fc0.bias"]
    width = weight.shape[1]
    kept = width - mean.numel()
    draft.kwargs = {**draft.kwargs, "c_dim": c_dim}
    shift = weight[:, kept:] @ mean / math.sqrt(width)  # lr scales weight and bias alike
    new = weight[:, :kept] * math.sqrt(kept / width)
    draft.change("mapping.fc0.weight", new, "columns of the label folded into the bias")
    draft.change("mapping.fc0.bias", bias + shift, "plus the mean embedding of the classes")
    for name in ("mapping.embed.weight", "mapping.embed.bias"):
        draft.drop(name, "its mean is in mapping.fc0.bias")


def _condition_discriminator(draft: Draft, c_dim: int) -> None:
    """The label's projection is the vector of ones at first, and the mean over the outputs of the
    projected layer is the old logit; around that mean they are random, or all would learn alike."""
    fresh = draft.fresh(c_dim=c_dim)
    depth = draft.kwargs.get("mapping_kwargs", {}).get("num_layers", 8)
    rate = draft.kwargs.get("mapping_kwargs", {}).get("lr_multiplier", 0.01)
    for name, value in fresh.items():
        if name.startswith("mapping."):
            draft.change(name, value, RANDOM, NEW)
    last = f"mapping.fc{depth - 1}"
    ones = torch.full_like(fresh[f"{last}.bias"], 1 / (GAIN * rate))
    draft.change(f"{last}.weight", torch.zeros_like(fresh[f"{last}.weight"]), "zero", NEW)
    draft.change(f"{last}.bias", ones, "projection starts at 1 for every label", NEW)
    features = ones.numel()
    spread = fresh["b4.out.weight"] - fresh["b4.out.weight"].mean(dim=0)
    how = f"1 → {features} outputs, whose projection is the old logit for every label"
    for name, around in (("b4.out.weight", spread), ("b4.out.bias", torch.zeros(features))):
        draft.change(name, draft.tensors[name] / math.sqrt(features) + around, how)


def _uncondition_discriminator(draft: Draft, c_dim: int) -> None:
    """The new logit is the mean of the old logits over all classes."""
    network = draft.network()
    network.load_state_dict(draft.tensors)
    with torch.no_grad():
        projection = network.mapping(None, torch.eye(draft.kwargs["c_dim"])).mean(dim=0)  # type: ignore[operator]
    draft.kwargs = {**draft.kwargs, "c_dim": c_dim}
    mean = projection[None] / math.sqrt(projection.numel())
    how = "mean of the logits over all classes"
    draft.change("b4.out.weight", mean @ draft.tensors["b4.out.weight"], how)
    draft.change("b4.out.bias", mean @ draft.tensors["b4.out.bias"], how)
    for name in [name for name in draft.tensors if name.startswith("mapping.")]:
        draft.drop(name, "folded into b4.out")


# Resolution


def change_resolution(draft: Draft, resolution: int) -> None:
    """Add or drop blocks; see generator.growing."""
    resize = resize_generator if draft.kind is Generator else resize_discriminator
    resize(draft, resolution)
