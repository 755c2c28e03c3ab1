"""`segmenter export`: a trained segmenter, or an ensemble, for other programs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, ConfigError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_atomic
from vesselforge.segmenter.combine import MEAN, Rule
from vesselforge.segmenter.components import ALL
from vesselforge.segmenter.inference.graph import Module, check_all, to_onnx
from vesselforge.segmenter.inference.runtimes import (
    COMPONENTS,
    INPUT,
    OUTPUT,
    PROGRAM,
    RULE,
    MeanProbability,
    OnnxRuntime,
    OpenVinoRuntime,
    RuledProbability,
    required,
)
from vesselforge.segmenter.models import (
    Description,
    Member,
    read_description,
    read_members,
    restore,
)

Format = Literal["onnx", "openvino"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
VALUES = (
    "image: [batch, 3, height, width] float32, RGB bytes / 255, any height and width; "
    "vessel_probability: [batch, 1, height, width] float32 in [0, 1]; vessel where it is at "
    "least `threshold`"
)
PIECES = (
    ", in an 8-connected piece with a pixel of at least `components`.sure and at least "
    "`components`.smallest pixels, or at the image's edge; that is left to the program"
)
EACH = (
    "; member_probability: [batch, members, height, width], what vessel_probability is made of, "
    "by `rule`"
)


def export(folder: Path, out: Path, form: Format, force: bool = False) -> dict[str, Any]:
    """Write one graph of a model folder, and return what is in it.

    Input `image`, output `vessel_probability`, batch, height and width free, padding and cropping
    inside; several networks become the mean of their probabilities, or what the ensemble's rule
    makes of them, with each one's own map as a second output, `member_probability`. Calibration is
    inside; a rule of components is in the metadata, and `predict` applies it. OpenVINO: `out` and
    the weights beside it, in a `.bin`. Nothing is written before the runtime has given
    the same probabilities as PyTorch within 1e-4. Raises ConfigError when a package is missing or
    a file in the way, CheckpointError for unusable weights or a graph that differs.
    """
    if form not in SUFFIX:
        raise ConfigError(f"format: found {form!r}, expected onnx or openvino")
    _check_place(out, form, force)
    if form == "openvino":
        required("openvino", "openvino")
    members, threshold = read_members(folder)
    described = read_description(folder)
    rule = described.rule
    module = _module(folder, members, rule)
    facts = _facts(folder, described)
    model = to_onnx(module, facts)
    try:
        if form == "onnx":
            difference = check_all(lambda output: OnnxRuntime(model, output), module)
            write_atomic(out, model)
        else:
            difference = _write_openvino(model, out, module)
    except OSError as error:
        raise WorkspaceError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}); free some "
            "space or choose another place with -o"
        ) from error
    return {
        "file": str(out),
        "format": form,
        "networks": [member.network for member, _ in members],
        "threshold": threshold,
        "input": {INPUT: ["batch", 3, "height", "width"]},
        "output": {OUTPUT: ["batch", 1, "height", "width"]},
        "bytes": out.stat().st_size + (_weights(out).stat().st_size if form == "openvino" else 0),
        "difference": difference,
    }


def _check_place(out: Path, form: Format, force: bool) -> None:
    if out.suffix != SUFFIX[form]:
        raise ConfigError(f"{out}: a file of the format {form} is called *{SUFFIX[form]}")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent} to write to")
    for path in [out, _weights(out)] if form == "openvino" else [out]:
        if path.is_dir():
            raise ConfigError(f"{path}: found a folder, expected a file; choose another name")
        if path.exists() and not force:
            raise ConfigError(f"{path}: exists already; choose another name, or give --force")


def _weights(out: Path) -> Path:
    """Where OpenVINO looks for the weights of a .xml file."""
    return out.with_suffix(".bin")


def _module(
    folder: Path, members: list[tuple[Member, dict[str, Tensor]]], rule: Rule
) -> MeanProbability | RuledProbability:
    networks = [restore(folder, member, tensors) for member, tensors in members]
    if rule == MEAN:
        return MeanProbability(networks).eval()
    return RuledProbability(networks, rule).eval()


def _facts(folder: Path, model: Description) -> dict[str, str]:
    """The metadata: what computes it, how a mask is made of it, and from which training."""
    described = [
        {
            "network": member.network,
            "options": member.options,
            "sha256": file_sha256(folder / member.file),
        }
        | member.calibration
        for member in model.members
    ]
    facts = {
        "networks": json.dumps(described, sort_keys=True),
        "threshold": repr(model.threshold),
        "values": VALUES,
        "torch": torch.__version__,
    }
    if model.components != ALL:
        facts[COMPONENTS] = json.dumps(model.components.as_json())
        facts["values"] += PIECES
    if model.rule != MEAN:
        facts[RULE] = json.dumps(model.rule.as_json())
        facts["values"] += EACH
    if (folder / MANIFEST).is_file():  # else made by no pipeline; its weights' sums are there
        expected = "the manifest of a training: copy the model's folder again"
        made = read_object(folder / MANIFEST, expected, CheckpointError)
        facts["training"] = f"{made.get('kind')}/{made.get('digest')}"
    return facts


def _write_openvino(model: bytes, out: Path, module: Module) -> float:
    """Convert, check what was written by reading it back, and put both files in their places."""
    import openvino

    graph = openvino.Core().read_model(model)
    for name, value in dict(graph.get_rt_info(["framework"]).value).items():
        graph.set_rt_info(str(value), [PROGRAM, name])
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as aside:
        written = Path(aside) / out.name
        openvino.save_model(graph, str(written), compress_to_fp16=False)
        difference = check_all(lambda output: OpenVinoRuntime(written, output), module)
        _weights(written).replace(_weights(out))  # the .xml last: it makes the pair a model
        written.replace(out)
    return difference
