"""The stage `generator.sample`: synthetic images, each determined by its own seed.

Images are written one by one; those already whole are kept when the stage is run again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from configs.settings import SampleSettings
from data.devices import pick_device
from data.imageset import ImageRecord, write_index, write_png
from data.progress import Interrupted, Progress
from data.splits import TRAIN
from data.store import Inputs, write_json
from generator.grids import GRID_IMAGES, generate, grid_of, latents
from generator.models import FOV, load_generator
from generator.views import restore

IMAGES = "images"
DESCRIPTION = "samples.json"


def sample(settings: SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Fill `out` with an image set of `count` images, grid.png and samples.json.

    inputs: `generator`, a generator.train artifact. Image i is made from RandomState(seed + i),
    whatever the batch. Raises CheckpointError for unusable weights, Interrupted when asked to stop.
    """
    folder = inputs["generator"].path
    generator, description = load_generator(folder)
    generator.to(pick_device(settings.device))
    native = description["native_size"]
    names = {i: f"{IMAGES}/seed{settings.seed + i:08d}.png" for i in range(settings.count)}
    # Each file was written aside and renamed, so one that is there is whole.
    missing = [i for i, name in names.items() if not (out / name).is_file()]
    done = settings.count - len(missing)
    for start in range(0, len(missing), settings.batch):
        if progress.stop_requested:
            raise Interrupted(f"generator.sample stopped after {done} of {settings.count} images")
        part = missing[start : start + settings.batch]
        z = torch.cat([latents(settings.seed + i, 1, generator.z_dim) for i in part])
        images = generate(generator, z, settings.psi)
        for i, image in zip(part, images, strict=True):
            write_png(out / names[i], restore(image, native))
        done += len(part)
        progress.update(done, settings.count, "images")
    fov = _copy_fov(folder, description["fov"], out)
    _write_grid(out, list(names.values())[:GRID_IMAGES], description["resolution"])
    records = [
        ImageRecord(id=Path(name).stem, split=TRAIN, image=name, fov=fov) for name in names.values()
    ]
    facts = ("presentation", "resolution", "native_size", "provenance")
    write_json(out / DESCRIPTION, {name: description[name] for name in facts})
    write_index(out, "synthetic", records)


def _copy_fov(folder: Path, name: str | None, out: Path) -> str | None:
    """Whole images share the field of view that most originals have; patches lie inside it."""
    if name is None:
        return None
    write_png(out / FOV, np.asarray(Image.open(folder / name).convert("L")))
    return FOV


def _write_grid(out: Path, names: list[str], side: int) -> None:
    """Write grid.png from the files, so that it does not depend on which run made them."""
    pictures = (Image.open(out / name).convert("RGB").resize((side, side)) for name in names)
    images = np.stack([np.asarray(picture) for picture in pictures])
    write_png(out / "grid.png", grid_of(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
