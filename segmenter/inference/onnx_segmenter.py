"""`segmenter export`: a trained segmenter, or an ensemble, as an ONNX graph for other programs.

Any batch, height and width, padded and cropped inside. `torch.onnx.export` folds BatchNorm into
the convolutions before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.data.formats.exporting import check_place, need_packages, quiet_exporter
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_atomic
from vesselforge.engine.store import explained
from vesselforge.segmenter.combine import MEAN, Rule, combined
from vesselforge.segmenter.model_files import Description, calibration_of, read_description, restore
from vesselforge.segmenter.models import Probabilities

INPUT, OUTPUT = "image", "vessel_probability"
SIZES = ((2, 40, 56), (1, 64, 64), (1, 37, 53), (1, 1, 9), (1, 131, 118))
"""[N, H, W] of the images that a graph is checked with: multiples, odd sizes, a sliver."""
TOLERANCE = 1e-4
"""Largest difference in probability between a graph and PyTorch."""
VALUES = (
    "image: [batch, 3, height, width] float32, RGB bytes / 255, any height and width; "
    "vessel_probability: [batch, 1, height, width] float32 in [0, 1]; vessel where it is at "
    "least `threshold`"
)
PIECES = (
    ", in an 8-connected piece with a pixel of at least `components`.sure and at least "
    "`components`.smallest pixels, or at the image's edge; that is left to the program"
)
SIZE = (
    "; resize images until their field of view is {:g} pixels wide, as in the training "
    "(`magnification`.fov_width); that is left to the program"
)


class Combined(nn.Module):
    """What is exported: [N, 3, H, W] in [0, 1] → what a rule makes of the networks' probabilities,
    [N, 1, H, W]."""

    def __init__(self, networks: Sequence[nn.Module], rule: Rule = MEAN) -> None:
        super().__init__()
        self.each, self.rule = Probabilities(networks), rule

    def forward(self, image: Tensor) -> Tensor:
        each: Tensor = self.each(image)
        if each.shape[1] == 1 and self.rule == MEAN:
            return each
        return combined(self.rule, each).unsqueeze(1)


def export(folder: Path, out: Path, force: bool = False) -> dict[str, Any]:
    """Write one graph of a model folder, and return what is in it.

    Input `image`, output `vessel_probability`, batch, height and width free, padding and cropping
    inside; of several networks it is what the ensemble's rule makes of their probabilities.
    Calibration is inside; a rule of components, and the width of the field of view to show images
    at, are in the metadata, for the program to apply.
    Nothing is written before ONNX Runtime has given the same probabilities as PyTorch within
    1e-4. Raises ConfigError when a package is missing or a file in the way, CheckpointError for
    unusable weights or a graph that differs.
    """
    check_place(out, force)
    described = read_description(folder)
    networks = [restore(folder, member) for member in described.members]
    module = Combined(networks, described.rule).eval()
    model = graph_of(module)
    for name, value in ({"program": "vesselforge"} | _facts(folder, described)).items():
        model.metadata_props.add(key=name, value=value)
    content: bytes = model.SerializeToString()
    difference = check(onnx_runner(content), module)
    with explained(out, named=True):
        write_atomic(out, content)
    return {
        "file": str(out),
        "networks": [member.network for member in described.members],
        "threshold": described.threshold,
        "input": {INPUT: ["batch", 3, "height", "width"]},
        "output": {OUTPUT: ["batch", 1, "height", "width"]},
        "bytes": out.stat().st_size,
        "difference": difference,
    }


def _facts(folder: Path, model: Description) -> dict[str, str]:
    """The metadata: what computes it, how a mask is made of it, and from which training."""
    described = [
        {"network": member.network, "options": member.options}
        | {"sha256": file_sha256(folder / member.file)}
        | calibration_of(member)
        for member in model.members
    ]
    facts = {name: json.dumps(rule) for name, rule in model.components.said().items()}
    values = VALUES + (PIECES if facts else "")
    if model.magnification is not None:
        values += SIZE.format(model.magnification.fov_width)
        facts["magnification"] = json.dumps(asdict(model.magnification))
    facts |= {
        "networks": json.dumps(described, sort_keys=True),
        "threshold": repr(model.threshold),
        "values": values,
        "torch": torch.__version__,
    }
    if (folder / MANIFEST).is_file():  # else made by no pipeline; its weights' sums are there
        expected = "the manifest of a training: copy the model's folder again"
        made = read_object(folder / MANIFEST, expected, CheckpointError)
        facts["training"] = f"{made.get('kind')}/{made.get('digest')}"
    return facts


def onnx_runner(content: bytes) -> Callable[[Tensor], Tensor]:
    """The function that an exported file is, [N, 3, H, W] → [N, 1, H, W], by ONNX Runtime on the
    CPU with as many threads as PyTorch has."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; they come back as exceptions, too
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def graph_of(module: nn.Module) -> Any:
    """The ONNX model of a module whose batch, height and width are free. Raises ConfigError when a
    package is missing."""
    need_packages()
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (_images(*SIZES[0]),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"image": free},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output):
        part.ClearField("metadata_props")  # stack traces with the paths of this machine
    graph.ClearField("value_info")
    for value in (graph.input[0], graph.output[0]):  # torch calls the free sizes s77 and so
        sides = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            sides[axis].dim_param = name
    return model


def check(runner: Callable[[Tensor], Tensor], module: Callable[[Tensor], Tensor]) -> float:
    """The largest difference in probability over SIZES; CheckpointError above TOLERANCE."""
    differences = []
    for size in SIZES:
        images = _images(*size)
        with torch.no_grad():
            wanted = module(images)
        try:
            differences.append((runner(images) - wanted).abs().max())
        except Exception as error:  # of the runtime's own kinds; or another shape
            raise CheckpointError(
                f"the exported graph fails in ONNX Runtime for images of {list(images.shape)} "
                f"({' '.join(str(error).split())[:300]}); report it with the version of torch"
            ) from error
    worst = float(torch.stack(differences).max())  # not a number if any is not
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"the exported graph gives other probabilities in ONNX Runtime (by up to {worst:.1e}, "
            f"expected at most {TOLERANCE:g}); report it with the versions of torch and onnxruntime"
        )
    return worst


def _images(count: int, height: int, width: int) -> Tensor:
    draw = torch.Generator().manual_seed(height * width)
    return torch.rand(count, 3, height, width, generator=draw)
