"""The networks of a run, put to use: images drawn by its generator, vessels found by its model.

PyTorch is loaded when one is used first. Everything is done on the CPU, one thing at a time.
"""

from __future__ import annotations

import shlex
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.configs.load import validate
from vesselforge.configs.ranges import parse_seeds
from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.documents import spelled
from vesselforge.pipeline.models.choice import chosen
from vesselforge.pipeline.record import STUDY, generator_folder, model_folder, record_of

if TYPE_CHECKING:
    from vesselforge.generator.networks import Generator
    from vesselforge.segmenter.models import Model

GENERATOR, SEGMENTER = "phantom-joint-64", "sa-unet-drive"
"""What is used without a run, or where a run has none of its own."""
MOST_DRAWN = 16
"""Images at once."""
REMEMBERED = 64
"""Images drawn, so that those on the page need not be drawn again for a picture of them."""
KEPT = 4
"""Predictions that are kept, in memory, as long as the server runs; older ones are forgotten."""


@dataclass(frozen=True)
class Chosen:
    """A network to use. typed: what a command calls it. why: what is to be said of the choice;
    empty where it is the one that was asked for."""

    name: str
    typed: str
    folder: Path
    why: str = ""


@dataclass(frozen=True)
class Drawing:
    """An image of a generator. image, mask: PNG; mask None where none is drawn. seconds: it
    took."""

    seed: int
    image: bytes
    mask: bytes | None
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """What a model found in an uploaded image. row: as of summary.csv; pictures: kind → PNG."""

    name: str
    row: dict[str, Any]
    pictures: dict[str, bytes]


class Workbench:
    """The networks of a run (its folder), or those that come with VesselForge. stop: asked between
    the parts of a long prediction whether to give up."""

    def __init__(self, workspace: Path, run: Path | None, stop: Callable[[], bool]) -> None:
        self.workspace, self.run, self._stop = workspace, run, stop
        self._busy = threading.Lock()
        self._predictions: OrderedDict[int, Prediction] = OrderedDict()
        self._number = 0
        self.draw_one = lru_cache(REMEMBERED)(self._draw_one)

    @cached_property
    def generator(self) -> Chosen:
        """That of the run, or where it has none, the one that comes with VesselForge. Raises
        CheckpointError where that is damaged."""

        def own(run: Path) -> Chosen:
            folder = generator_folder(self.workspace, str(run))
            return Chosen(run.name, shlex.quote(str(run)), folder)

        box = generator_folder(self.workspace, GENERATOR)
        return self._own_or(own, Chosen(GENERATOR, GENERATOR, box))

    @cached_property
    def segmenter(self) -> Chosen:
        """The model that the run's validation images chose, or as above."""

        def own(run: Path) -> Chosen:
            record = record_of(run)
            if record.get("flow") == STUDY:
                raise WorkspaceError(f"{run.name}: a study has no model that serves")
            name = f"the {chosen(record)} of {run.name}"
            return Chosen(name, shlex.quote(str(run)), model_folder(run))

        return self._own_or(own, Chosen(SEGMENTER, SEGMENTER, model_folder(Path(SEGMENTER))))

    def _own_or(self, own: Callable[[Path], Chosen], box: Chosen) -> Chosen:
        try:
            return box if self.run is None else own(self.run)
        except WorkspaceError as error:
            why = f"{error}. So {box.name} is used here, which comes with VesselForge."
            return replace(box, why=why)

    @cached_property
    def _network(self) -> tuple[Generator, dict[str, Any]]:
        from vesselforge.generator.trained import load_generator

        return load_generator(self.generator.folder)

    @cached_property
    def _model(self) -> Model:
        import torch

        from vesselforge.segmenter.models import Model

        return Model.load(self.segmenter.folder, torch.device("cpu"), "auto")

    @property
    def classes(self) -> list[str]:
        """Names of what a conditional generator may be told to draw; empty for any other."""
        with self._busy:
            network, description = self._network
        named = description.get("classes") or []
        return [str(each) for each in named] or [f"class {n}" for n in range(network.c_dim)]

    def draw(self, seeds: str, psi: str, label: str) -> list[Drawing]:
        """Draw the images of seeds as `generator draw` does; what is given is as it was typed.
        Raises ConfigError for what this generator cannot draw, and more than MOST_DRAWN seeds."""
        numbers = parse_seeds(seeds)
        if len(numbers) > MOST_DRAWN:
            raise ConfigError(
                f"seeds: found {len(numbers)} seeds, expected at most {MOST_DRAWN} at once; "
                "`vesselforge generator draw` draws any number"
            )
        asked = validate(SampleSettings, {"psi": psi, "label": label or None}, "page")
        return [self.draw_one(seed, asked.psi, asked.label) for seed in numbers]

    def _draw_one(self, seed: int, psi: float, label: int | None) -> Drawing:
        from vesselforge.data.formats.images import encode_png
        from vesselforge.generator.sampling.sampler import Sampler, draw_arrays

        with self._busy:
            network, description = self._network
            began = time.perf_counter()
            sampler = Sampler(network, psi, label, description.get("labels"))
            (image,), masks = draw_arrays(sampler, description, [seed])
        mask = None if masks is None else encode_png(masks[0].astype("uint8") * 255)
        return Drawing(seed, encode_png(image), mask, time.perf_counter() - began)

    def predict(self, name: str, content: bytes) -> int:
        """Segment an image file as `segmenter predict` does; returns the number of the prediction.
        name: the file's. What is written lies in a temporary folder until the end.

        Raises DataError for what is no image, Interrupted when the server stops."""
        from vesselforge.engine.progress import Bus
        from vesselforge.segmenter.inference.predict import MAPS, predict_files

        shown = spelled(name)[:200] or "image"
        with self._busy, tempfile.TemporaryDirectory(prefix="vesselforge-") as folder:
            upload = Path(folder) / ("upload.gz" if name.lower().endswith(".gz") else "upload")
            upload.write_bytes(content)
            maps = Path(folder) / "maps"
            (row,) = predict_files(self._model, [upload], maps, Bus(stop=self._stop))
            if "error" in row:
                raise DataError(str(row["error"]).replace(str(upload), shown))
            files = {kind: maps / f"{row['name']}_{kind}.png" for kind in MAPS}
            pictures = {kind: file.read_bytes() for kind, file in files.items()}
            self._number += 1
            self._predictions[self._number] = Prediction(shown, row, pictures)
            if len(self._predictions) > KEPT:
                self._predictions.popitem(last=False)
            return self._number

    def predicted(self, number: int) -> Prediction | None:
        """A prediction of before; None for one that is forgotten."""
        return self._predictions.get(number)
