"""`generator export`: a generator for other programs, as ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.data.formats.exporting import check_place, need_packages, quiet_exporter
from vesselforge.engine.files import write_atomic
from vesselforge.engine.store import explained
from vesselforge.generator.networks import Generator
from vesselforge.generator.trained import load_generator

TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime's image and ours, relative to the largest value."""
VALUES = "images [N, channels, height, width] in about [-1, 1]: a byte is x·127.5 + 128, clamped"


class Pictures(nn.Module):
    """What is exported: latents, psi, and a label if conditional, to images.

    Layer noise is each layer's constant, so that an image depends on the inputs alone.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, psi: Tensor, c: Tensor | None = None) -> Tensor:
        """Map z `[N, z_dim]`, c `[N, c_dim]` and psi `[]` to images `[N, channels, R, R]`."""
        mapping = self.generator.mapping
        ws = mapping.w_avg + psi * (mapping(z, c) - mapping.w_avg)
        images: Tensor = self.generator.synthesis(ws, noise_mode="const")
        return images


def export(folder: Path, out: Path, force: bool = False) -> dict[str, Any]:
    """Write G_ema as ONNX with a free batch size, after ONNX Runtime has drawn the same images.

    Inputs: `z`, `psi`, `c` if conditional; output: `image`. Returns file, inputs, output and
    difference. Raises ConfigError for another ending than .onnx, when a package is missing or a
    file in the way, CheckpointError for unusable weights.
    """
    check_place(out, force)
    need_packages()
    generator, description = load_generator(folder)
    pictures = Pictures(generator).eval()
    inputs = example(generator, count=2)
    batch = torch.export.Dim("batch")
    with quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            pictures,
            kwargs=inputs,
            input_names=list(inputs),
            output_names=["image"],
            dynamic_shapes={name: {0: batch} if t.dim() else None for name, t in inputs.items()},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    whole = description.get("provenance") or {}
    provenance = {name: value for name, value in whole.items() if name != "tensors"}
    facts = {"program": "vesselforge", "values": VALUES, "provenance": json.dumps(provenance)}
    program.model.metadata_props.update(facts)
    model: bytes = program.model_proto.SerializeToString()
    error = difference(model, pictures, example(generator, count=3))
    if not error <= TOLERANCE:  # NaN is not, either
        raise CheckpointError(
            f"{folder}: the ONNX file draws other images, relative difference {error:.1e}; report "
            "it with the versions of torch and onnxruntime"
        )
    with explained(out, named=True):
        write_atomic(out, model)
    shapes = {name: ["batch", *t.shape[1:]] if t.dim() else [] for name, t in inputs.items()}
    side = generator.img_resolution
    output = ["batch", generator.img_channels, side, side]
    return {"file": str(out), "inputs": shapes, "output": output, "difference": error}


def example(generator: Generator, count: int) -> dict[str, Tensor]:
    """Return inputs by name; other ones for every count."""
    draw = torch.Generator().manual_seed(count)
    z = torch.randn(count, generator.z_dim, generator=draw)
    inputs = {"z": z, "psi": torch.tensor(0.7)}
    if generator.c_dim:
        inputs["c"] = torch.eye(generator.c_dim)[torch.arange(count) % generator.c_dim]
    return inputs


@torch.no_grad()
def difference(model: bytes, pictures: nn.Module, inputs: dict[str, Tensor]) -> float:
    """Return how far ONNX Runtime's images are from ours, relative to the largest value."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})[0]
    wanted = pictures(**inputs)
    error = (torch.from_numpy(found) - wanted).abs().max() / wanted.abs().max()
    return float(error)
