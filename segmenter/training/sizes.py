"""The size at which a training that begins with a model shows the network its images: as large as
those that the model knows. Weights that know vessels of DRIVE's width find little in a photograph
of 3000 pixels, and would have to learn everything anew.

Maps and thresholds are those of the images themselves, as they are in prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from vesselforge.data.imageset import LoadedImage
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.devices import pick_device
from vesselforge.segmenter.inference.showing import resized, showing
from vesselforge.segmenter.magnification import Magnification, measured
from vesselforge.segmenter.models import Model

OUTSIDE = "segmenter.start"
"""Kind of the artifact that is a copy of a model from elsewhere."""


class Sizes:
    """Scales of images. start: what a training begins with; a student's first training is shown all
    images as they are, and so is its second, unless the first began with a model from elsewhere."""

    def __init__(self, start: Artifact | None) -> None:
        self.model: Model | None = None
        if start is not None and (
            start.kind == OUTSIDE or "start" in start.manifest.get("inputs", {})
        ):
            found = Model.load(start.path, pick_device("cpu"))
            self.model = found if found.magnification is not None else None
        self._scales: dict[str, float] = {}

    def of(self, image: LoadedImage) -> float:
        """How many times as large the network is shown a photograph."""
        if self.model is None:
            return 1.0
        if image.id not in self._scales:
            scale = showing(self.model, image.image, image.fov).scale
            self._scales[image.id] = scale
        return self._scales[image.id]

    def shown(
        self, images: Sequence[LoadedImage], like: Sequence[LoadedImage]
    ) -> list[LoadedImage]:
        """Images to train on, at their size. like: the photographs whose magnification they have,
        the images themselves unless they are synthetic."""
        if self.model is None:
            return list(images)
        own = {image.id for image in like}
        usual = median(map(self.of, like))
        return [resized(i, self.of(i) if i.id in own else usual, soft=True) for i in images]

    def magnification(self, images: Sequence[LoadedImage]) -> Magnification | None:
        """What is known after a training on these photographs at their size; what the model knows
        that it began with where they do not tell."""
        if self.model is None:
            return None
        seen = [resized(image, self.of(image), soft=True) for image in images]
        found = measured(len(seen), (i.fov for i in seen), (i.reference for i in seen))
        return found or self.model.magnification
