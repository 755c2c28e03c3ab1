"""Segmenters as ONNX graphs: any batch, height and width, padded and cropped inside.

`torch.onnx.export` folds BatchNorm into the convolutions before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.data.formats.exporting import quiet_exporter
from vesselforge.segmenter.inference.runtimes import (
    INPUT,
    MEMBERS,
    OUTPUT,
    PROGRAM,
    MeanProbability,
    MemberProbabilities,
    OnnxRuntime,
    RuledProbability,
    Runtime,
    required,
)

SIZES = ((2, 40, 56), (1, 64, 64), (1, 37, 53), (1, 1, 9), (1, 131, 118))
"""[N, H, W] of the images that a graph is checked with: multiples, odd sizes, a sliver."""
TOLERANCE = 1e-4
"""Largest difference in probability between a graph and PyTorch."""

Module = MeanProbability | MemberProbabilities | RuledProbability
"""What can become a graph."""


def to_onnx(module: Module, facts: Mapping[str, str]) -> bytes:
    """An ONNX file's bytes, after ONNX Runtime has given the same probabilities as PyTorch.

    facts: metadata to put in, beside those that every file has. Raises ConfigError when a package
    is missing, CheckpointError when the graph computes something else.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        required(package, "onnx")
    module = module.eval()
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (_images(*SIZES[0]),),
            input_names=[INPUT],
            output_names=[OUTPUT, MEMBERS][: len(parts_of(module))],
            dynamic_shapes={"image": free},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")  # stack traces with the paths of this machine
    model.graph.ClearField("value_info")
    _name_sides(model.graph)
    own = {"program": PROGRAM, "multiple": str(module.multiple), "threshold": "0.5"}
    for name, value in (own | dict(facts)).items():
        model.metadata_props.add(key=name, value=value)
    found: bytes = model.SerializeToString()
    check_all(lambda output: OnnxRuntime(found, output), module)
    return found


def parts_of(module: Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """Output → what computes it."""
    if isinstance(module, RuledProbability):
        return {OUTPUT: lambda images: module(images)[0], MEMBERS: module.each}
    return {OUTPUT: module}


def check_all(started: Callable[[str], Runtime], module: Module) -> float:
    """`check` of every output. started: a runtime that gives the output of that name."""
    return max(check(started(output), wanted) for output, wanted in parts_of(module).items())


def check(runtime: Runtime, module: Callable[[Tensor], Tensor]) -> float:
    """The largest difference in probability over SIZES; CheckpointError above TOLERANCE."""
    differences = []
    for size in SIZES:
        images = _images(*size)
        with torch.no_grad():
            wanted = module(images)
        try:
            differences.append((runtime(images) - wanted).abs().max())
        except Exception as error:  # of the runtime's own kinds; or another shape
            raise CheckpointError(
                f"the exported graph fails in {runtime.name} for images of {list(images.shape)} "
                f"({' '.join(str(error).split())[:300]}); report it with the version of torch"
            ) from error
    worst = float(torch.stack(differences).max())  # not a number if any is not
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"the exported graph gives other probabilities in {runtime.name} (by up to {worst:.1e},"
            f" expected at most {TOLERANCE:g}); report it with the versions of torch and "
            f"{runtime.name}"
        )
    return worst


def _images(count: int, height: int, width: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(height * width)
    return torch.rand(count, 3, height, width, generator=draw)


def _name_sides(graph: object) -> None:
    """Call the free sizes batch, height and width, at both ends; torch's names are s77 and so."""
    for value in (graph.input[0], *graph.output):  # type: ignore[attr-defined]
        sides = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            sides[axis].dim_param = name
