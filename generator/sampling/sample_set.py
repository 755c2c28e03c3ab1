"""Sets of synthetic images, each determined by its own seed: the stage `generator.sample`, and
chosen seeds in a folder of one's own, which never mixes two ways of drawing.

Images are written one by one; those already whole are kept when it is run again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401  a tensor on `meta` would, 1.5 s in every process of a stage
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.ranges import parse_seeds, shorten_seeds
from vesselforge.configs.settings import SampleSettings
from vesselforge.data.formats.images import read_picture
from vesselforge.data.formats.sheets import grid_of
from vesselforge.data.imageset import (
    ImageRecord,
    load_mask,
    load_picture,
    write_index,
    write_mask,
    write_png,
)
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.engine.artifacts import Inputs, identity_of
from vesselforge.engine.devices import pick_device
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import explained
from vesselforge.generator.sampling.sampler import (
    GRID_IMAGES,
    Sampler,
    as_pixels,
    picture_size,
    pictures,
)
from vesselforge.generator.trained import AVERAGE, FOV, load_generator

DESCRIPTION = "samples.json"
GRID = "grid.png"
FACTS = ("presentation", "resolution", "native_size", "provenance", "channels")
"""What samples.json repeats of the generator's description."""
WRITERS = 8
"""Threads that compress PNG files: a GPU draws 512 x 512 pixels ten times as fast as one core
compresses them."""
MOST_SHOWN = 512
"""Images in grid.png at most."""


def sample(settings: SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with an image set of `count` images, grid.png and samples.json.

    inputs: `generator`, a generator.train artifact. Image i is made from the seed `seed + i`,
    whatever the batch. Raises ConfigError for settings that this generator cannot honour,
    CheckpointError for unusable weights, Interrupted when asked to stop.
    """
    files = SampleFiles(inputs["generator"].path, settings, out)
    seeds = range(settings.seed, settings.seed + settings.count)
    files.write_missing(seeds, progress)
    write_png(out / GRID, files.sheet(seeds[:GRID_IMAGES]))
    write_json(out / DESCRIPTION, files.facts | {"settings": identity_of(settings)})
    files.write_index("synthetic", seeds)


def draw_album(
    generator: Path,
    out: Path,
    seeds: Sequence[int],
    settings: SampleSettings,
    progress: Progress,
    grid: bool = False,
) -> dict[str, Any]:
    """Write `seed########.png` of every seed to `out`, samples.json, index.json (so that the
    folder is an image set) and, if asked, grid.png.

    generator: folder in the format of generator.train. settings: all but count and seed. Images
    of the same generator and settings that are there are kept, and new seeds join them. Returns
    what samples.json says. Raises ConfigError, CheckpointError, WorkspaceError when `out` holds
    anything else, Interrupted.
    """
    files = SampleFiles(generator, settings, out, flat=True)
    content = files.facts | {
        "generator": file_sha256(generator / AVERAGE),
        "settings": {"psi": settings.psi, "label": settings.label},
    }
    with explained(out, named=True):
        whole = sorted({*_seeds_there(out, content), *seeds})
        content |= {"seeds": shorten_seeds(whole)}
        out.mkdir(parents=True, exist_ok=True)
        # First of all, so that images are never without what they were drawn with.
        write_json(out / DESCRIPTION, content)
        files.write_missing(whole, progress)
        if grid:
            columns = math.ceil(math.sqrt(min(len(seeds), MOST_SHOWN) * 16 / 9))  # as a screen
            write_png(out / GRID, files.sheet(seeds[:MOST_SHOWN], columns))
        files.write_index("drawn", whole)
    return content


def _seeds_there(out: Path, content: dict[str, Any]) -> list[int]:
    """Return the seeds whose images are in a folder; WorkspaceError when these are of another
    generator or other settings, and for a folder with anything that was not drawn here."""
    if not out.exists() or not any(out.iterdir()):
        return []
    album = out / DESCRIPTION
    earlier = read_object(album, "what `generator draw` wrote") if album.is_file() else {}
    if "seeds" not in earlier:
        raise WorkspaceError(
            f"{out}: holds files that `generator draw` did not make; choose another folder"
        )
    for name in ("generator", "settings"):
        if earlier.get(name) != content[name]:
            raise WorkspaceError(
                f"{out}: holds images drawn with another {name} ({earlier.get(name)}, now "
                f"{content[name]}); choose another folder"
            )
    return parse_seeds(str(earlier["seeds"]))


class SampleFiles:
    """The files of a generator's images in one folder: names, which are missing, contents.

    generator: its folder. flat: images lie in `out` itself, not in `images/`. facts: what
    samples.json repeats of the generator's description.
    """

    def __init__(
        self, generator: Path, settings: SampleSettings, out: Path, flat: bool = False
    ) -> None:
        network, description = load_generator(generator)
        network.to(pick_device())
        self.sampler = Sampler(network, settings.psi, settings.label, description.get("labels"))
        self.facts: dict[str, Any] = {name: description.get(name) for name in FACTS}
        self.size = picture_size(description)
        self.generator, self.out, self.batch, self.flat = generator, out, settings.batch, flat
        # Whole images share the field of view that most originals have; patches lie inside it.
        self.fov: str | None = description.get("fov")

    def record(self, seed: int) -> ImageRecord:
        """Return the index entry of a seed's image; what a conditional generator was told too."""
        id_, told = f"seed{seed:08d}", self.sampler.labels([seed])
        return ImageRecord(
            id_,
            TRAIN,
            f"{id_}.png" if self.flat else f"images/{id_}.png",
            mask=f"masks/{id_}.png" if self.facts["channels"]["kind"] == "rgb+mask" else None,
            fov=self.fov,
            label=None if told is None else told[0].tolist(),
        )

    def write_index(self, name: str, seeds: Sequence[int]) -> None:
        """Write the field of view, if any, and last of all index.json."""
        if self.fov is not None:
            write_png(self.out / FOV, read_picture(self.generator / FOV).grey())
        write_index(self.out, name, [self.record(seed) for seed in seeds])

    def write_missing(self, seeds: Sequence[int], progress: Progress) -> None:
        """Draw and write the images that are not there; one batch is in memory.

        Raises Interrupted, with whole files only, when asked to stop.
        """
        # Each file was written aside and renamed, so one that is there is whole.
        missing = [seed for seed in seeds if not (self.out / self.record(seed).image).is_file()]
        done = len(seeds) - len(missing)
        with ThreadPoolExecutor(min(WRITERS, os.cpu_count() or 1)) as pool:
            for start in range(0, len(missing), self.batch):
                if progress.stop_requested:
                    raise Interrupted(f"sampling stopped after {done} of {len(seeds)} images")
                part = missing[start : start + self.batch]
                list(pool.map(self._write, part, self.sampler.draw(part)))  # raises what one raised
                done += len(part)
                progress.update(done, len(seeds), "images")

    def _write(self, seed: int, image: Tensor) -> None:
        pixels, mask = as_pixels(image, self.facts["channels"]["kind"], self.facts["native_size"])
        record = self.record(seed)
        if mask is not None:  # an image is there only after its mask
            write_mask(self.out / str(record.mask), mask)
        write_png(self.out / record.image, pixels)

    def sheet(self, seeds: Sequence[int], columns: int | None = None) -> NDArray[np.uint8]:
        """Return a contact sheet `[H, W, 3]` made from the files, so that it does not depend on
        which run made them. columns: see `grid_of`."""
        return grid_of(np.concatenate([self._picture(seed) for seed in seeds]), columns)

    def _picture(self, seed: int) -> NDArray[np.uint8]:
        record = self.record(seed)
        pixels = load_picture(self.out, record).rgb()
        if record.mask is not None:
            mask = load_mask(self.out, record)[..., None].astype(np.uint8) * 255
            pixels = np.concatenate([pixels, mask], axis=2)
        return pictures(pixels.transpose(2, 0, 1)[None], self.size)
