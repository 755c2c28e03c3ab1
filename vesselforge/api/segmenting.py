"""Trained segmenters, put to use."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vesselforge.api.arguments import checked
from vesselforge.configs.base import Device
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.ranges import is_number
from vesselforge.configs.stages.segmenter import FovWidth, Runtime
from vesselforge.data.formats.images import picture_of
from vesselforge.engine.devices import pick_device
from vesselforge.pipeline.record import model_folder
from vesselforge.segmenter.inference.predict import Predicted, predict_image
from vesselforge.segmenter.inference.tiles import SIDE
from vesselforge.segmenter.models import Model

Picture = ArrayLike | Image.Image | str | PathLike[str]


class TrainedSegmenter:
    """A trained model that finds vessels; `load_model` gives one.

    folder: where it lies. threshold: probability in [0, 1] from which a pixel is vessel, chosen in
    its training; another one may be set (ConfigError outside).
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder, self._model = folder, model

    @property
    def threshold(self) -> float:
        return self._model.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not is_number(value, 0, 1):
            raise ConfigError(f"threshold: found {value!r}, expected 0 to 1")
        self._model.threshold = value

    @checked
    def predict(
        self, image: Picture, *, flips: bool = False, fov_width: FovWidth = "model"
    ) -> NDArray[np.float32]:
        """Vessel probability [H, W] float32 in [0, 1], at the image's own size.

        image: a file's path; an array, grey [H, W] or RGB [H, W, 3], uint8 or uint16; or a picture
        of Pillow's, grey or RGB, as it is in memory (a file is turned as its EXIF tag says).
        flips: the mean over the image and its three mirror images; four times as long.
        fov_width: how wide the field of view is when the network sees it, in pixels, 32 to 8192;
        `model`: as in its training; `native`: as it is.

        The map is that of `vesselforge segmenter predict` before it is rounded to 8 bits. Raises
        DataError for what is no such image, ConfigError for another fov_width.

        >>> import vesselforge as vf
        >>> model = vf.load_model("sa-unet-drive")
        >>> eye = vf.phantom(seed=3, size=96)
        >>> prob = model.predict(eye.image, fov_width=300)
        >>> prob.shape, str(prob.dtype), bool(prob.max() > model.threshold)
        ((96, 96), 'float32', True)
        """
        return self.segment(image, flips=flips, fov_width=fov_width).prob

    @checked
    def segment(
        self, image: Picture, *, flips: bool = False, fov_width: FovWidth = "model"
    ) -> Predicted:
        """The same map as `prob`; `mask` [H, W] bool, the vessels by the model's threshold and rule
        of components; `fov` [H, W] bool, the field of view; `shown`, at which size the network saw
        the image. Arguments and errors are those of `predict`.

        >>> import vesselforge as vf
        >>> model = vf.load_model("sa-unet-drive")
        >>> found = model.segment(vf.phantom(seed=3, size=96).image, fov_width=300)
        >>> bool((found.mask == (found.prob >= model.threshold)).all())
        True
        """
        return predict_image(self._model, picture_of(image).rgb(), flips, fov_width)


@checked
def load_model(
    name_or_path: str | PathLike[str],
    *,
    which: str | None = None,
    runtime: Runtime = "auto",
    device: Device = "auto",
    tile: int = SIDE,
    workspace: str | PathLike[str] | None = None,
) -> TrainedSegmenter:
    """A trained segmenter: one in the box (`vesselforge models list` shows them), a run, a
    line of models or a fine-tuned model of the workspace, by name or folder, or a model's own
    folder.

    which: of a run, `teacher`, `student` or `ensemble`; default: the best on its validation images.
    runtime: `torch`, `fast` or `fast-bfloat16`; `auto` is the fastest safe one. With all but
    `torch`, the process keeps memory that it frees.
    device: `auto`, `cpu` or `cuda`. tile: longest side in pixels that goes through the network at
    once. workspace: default $VESSELFORGE_WORKSPACE, else ./workspace.

    Raises CheckpointError for what is no model or is damaged, WorkspaceError for a run without one,
    ConfigError for the other arguments.

    >>> import vesselforge as vf
    >>> round(vf.load_model("sa-unet-drive").threshold, 3)
    0.542
    >>> vf.load_model("sa-unet-mars")
    Traceback (most recent call last):
        ...
    vesselforge.configs.errors.CheckpointError: sa-unet-mars: no such model, by name ...
    """
    folder = model_folder(Path(name_or_path), which, workspace)
    chosen = None if device == "auto" else pick_device(device)
    return TrainedSegmenter(folder, Model.load(folder, chosen, runtime, tile))
