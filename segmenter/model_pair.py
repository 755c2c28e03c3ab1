"""Stage `segmenter.compare`: two models on the same validation images, image by image."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from vesselforge.configs.settings import CompareSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.data.layouts.splits import VALIDATION
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import write_atomic, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.metrics.confusion import f1_of
from vesselforge.segmenter.models import Model

IMAGES = "images"
PER_IMAGE = "per_image.csv"


def compare(settings: CompareSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """inputs: `images`, a prepared set; every other one is a model, by its name here.

    Each model predicts the validation images as `segmenter predict` would, at its own threshold.
    Writes per_image.csv and metrics.json: `images`, how many; `f1`, model → mean over images;
    `per_image`, id → model → F1 inside the field of view, in [0, 1].
    """
    folder = inputs[IMAGES].path
    images = [
        load_image(folder, record, soft=False)
        for record in read_index(folder, VALIDATION)
        if record.id not in settings.leave_out
    ]
    names = sorted(inputs.keys() - {IMAGES})
    found: dict[str, dict[str, float]] = {image.id: {} for image in images}
    for number, name in enumerate(names):
        model = Model.load(inputs[name].path, runtime=settings.runtime)
        for done, image in enumerate(images, start=1):
            if progress.stop_requested:
                raise Interrupted
            found[image.id][name] = round(_f1(model, image), 6)
            progress.update(number * len(images) + done, len(names) * len(images), "image")
    rows = [[id_, *(scores[name] for name in names)] for id_, scores in found.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["id", *names], *rows])
    write_atomic(out / PER_IMAGE, text.getvalue())
    means = {n: sum(s[n] for s in found.values()) / len(found) for n in names} if found else {}
    write_json(
        out / METRICS,
        {
            "images": len(images),
            "f1": {name: round(mean, 6) for name, mean in means.items()},
            "per_image": found,
        },
    )


def _f1(model: Model, image: LoadedImage) -> float:
    mask = model.mask(model.predict(image.image))
    return f1_of(mask[image.fov], image.reference[image.fov])
