"""Several segmenters as one: the mean of their probabilities, with a threshold of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from configs.settings import EnsembleSettings
from data.imageset import load_image, read_index
from data.progress import Progress
from data.store import METRICS, Inputs, write_json
from segmenter.metrics import best_threshold
from segmenter.models import Member, Model, read_members, save_model
from segmenter.training.validation import reference_mask

VALIDATION = "validation"


def ensemble(settings: EnsembleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.ensemble`. inputs: `validation` (an image set), all others models.

    Copies the members' weights, so that the folder is a model of its own, and chooses the
    threshold of the mean probability on the validation images.
    """
    members: list[tuple[Member, dict[str, Tensor]]] = []
    for name in sorted(inputs.keys() - {VALIDATION}):
        for member, tensors in read_members(inputs[name].path)[0]:
            members.append((replace(member, file=f"members/{name}.safetensors"), tensors))
    save_model(out, members, 0.5, "ensemble.json")  # the threshold is chosen with this model
    model = Model.load(out)
    folder = inputs[VALIDATION].path
    images = [load_image(folder, record) for record in read_index(folder, "validation")]
    probs = []
    for done, image in enumerate(images, start=1):
        probs.append(model.predict(image.image))
        progress.update(done, len(images), "image")
    references, fovs = [reference_mask(i) for i in images], [i.fov for i in images]
    threshold, f1 = best_threshold(probs, references, fovs)
    save_model(out, members, threshold, "ensemble.json")
    figures = {"f1": round(f1, 6), "threshold": threshold}
    write_json(out / METRICS, {"validation": figures, "members": len(members)})
