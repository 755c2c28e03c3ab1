"""The stage `generator.sample`: synthetic images, each determined by its own seed.

Images are written one by one; those already whole are kept when the stage is run again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401  a tensor on `meta` would, 1.5 s in every process of a stage
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.configs.settings import SampleSettings
from vesselforge.data.formats.channels import Channels
from vesselforge.data.formats.images import read_grey
from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import (
    ImageRecord,
    load_mask,
    load_picture,
    sample_record,
    write_index,
    write_png,
    write_sample,
)
from vesselforge.engine.artifacts import Inputs, identity_of
from vesselforge.engine.confined import inside
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.models import DESCRIPTION as MODEL
from vesselforge.generator.models import FOV, load_generator
from vesselforge.generator.sampling.grids import GRID_IMAGES, picture_size, pictures
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.values import restore, to_pixels

DESCRIPTION = "samples.json"
GRID = "grid.png"
FACTS = ("presentation", "resolution", "native_size", "provenance")
"""What samples.json repeats of the generator's description."""
WRITERS = 8
"""Threads that compress PNG files: a GPU draws 512 x 512 pixels ten times as fast as one core
compresses them."""


def sample(settings: SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with an image set of `count` images, grid.png and samples.json.

    inputs: `generator`, a generator.train artifact. Image i is made from the seed `seed + i`,
    whatever the batch. Raises ConfigError for settings that this generator cannot honour,
    CheckpointError for unusable weights, Interrupted when asked to stop.
    """
    folder = inputs["generator"].path
    generator, description = load_generator(folder)
    generator.to(pick_device())
    sampler = Sampler(generator, settings.psi, settings.label, description.get("labels"))
    files = SampleFiles(out, description, sampler)
    seeds = range(settings.seed, settings.seed + settings.count)
    files.write_missing(seeds, settings.batch, progress)
    fov = copy_fov(folder, description.get("fov"), out)
    write_png(out / GRID, files.sheet(seeds[:GRID_IMAGES]))
    facts = {name: description.get(name) for name in FACTS} | {"settings": identity_of(settings)}
    write_json(out / DESCRIPTION, facts | {"channels": files.channels.to_json()})
    write_index(out, "synthetic", [replace(files.record(seed), fov=fov) for seed in seeds])


class SampleFiles:
    """The files of drawn images in one folder: their names, which are missing, their contents.

    flat: images lie in the folder itself, not in `images/`.
    """

    def __init__(
        self, out: Path, description: dict[str, Any], sampler: Sampler, flat: bool = False
    ) -> None:
        self.out = out
        self.channels = Channels(**description["channels"])
        self._native = description["native_size"]
        self._size = picture_size(description)
        self._sampler = sampler
        self._flat = flat

    def record(self, seed: int) -> ImageRecord:
        """Return the index entry of a seed's image; what a conditional generator was told too."""
        record = sample_record(f"seed{seed:08d}", self.channels)
        label = self._sampler.labels([seed])
        if label is not None:
            record = replace(record, label=label[0].tolist())
        return replace(record, image=Path(record.image).name) if self._flat else record

    def write_missing(self, seeds: Sequence[int], batch: int, progress: Progress) -> None:
        """Draw and write the images that are not there; at most two batches are in memory.

        Raises Interrupted, with whole files only, when asked to stop.
        """
        # Each file was written aside and renamed, so one that is there is whole.
        missing = [seed for seed in seeds if not (self.out / self.record(seed).image).is_file()]
        done = len(seeds) - len(missing)
        with ThreadPoolExecutor(min(WRITERS, os.cpu_count() or 1)) as pool:
            pending: list[Future[None]] = []
            for start in range(0, len(missing), batch):
                if progress.stop_requested:
                    raise Interrupted(f"sampling stopped after {done} of {len(seeds)} images")
                part = missing[start : start + batch]
                images = self._sampler.draw(part)
                _wait(pending)
                pending = [
                    pool.submit(self._write, seed, image)
                    for seed, image in zip(part, images, strict=True)
                ]
                done += len(part)
                progress.update(done, len(seeds), "images")
            _wait(pending)

    def _write(self, seed: int, image: Tensor) -> None:
        pixels = to_pixels(image, self.channels.bits).permute(1, 2, 0).numpy()
        write_sample(self.out, self.record(seed), restore(pixels, self._native))

    def sheet(self, seeds: Sequence[int], columns: int | None = None) -> NDArray[np.uint8]:
        """Return a contact sheet `[H, W, 3]` made from the files, so that it does not depend on
        which run made them. columns: see `grid_of`."""
        return grid_of(np.concatenate([self._picture(seed) for seed in seeds]), columns)

    def _picture(self, seed: int) -> NDArray[np.uint8]:
        record = self.record(seed)
        pixels = load_picture(self.out, record).pixels
        if record.mask is not None:
            mask = load_mask(self.out, record)[..., None] * np.iinfo(pixels.dtype).max
            pixels = np.concatenate([pixels, mask.astype(pixels.dtype)], axis=2)
        return pictures(pixels.transpose(2, 0, 1)[None], self._size)


def _wait(pending: list[Future[None]]) -> None:
    """Let every writer finish; an exception of one is raised here."""
    for future in pending:
        future.result()


def copy_fov(folder: Path, name: str | None, out: Path) -> str | None:
    """Whole images share the field of view that most originals have; patches lie inside it."""
    if name is None:
        return None
    write_png(out / FOV, read_grey(inside(folder, name, folder / MODEL)))
    return FOV
