"""Drawing chosen seeds into a folder of one's own, which never mixes two ways of drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.ranges import parse_seeds, shorten_seeds
from vesselforge.configs.settings import SampleSettings
from vesselforge.data.imageset import write_index, write_png
from vesselforge.engine.devices import pick_device
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import explained
from vesselforge.generator.models import AVERAGE, load_generator
from vesselforge.generator.sampling.sample_set import (
    DESCRIPTION,
    FACTS,
    GRID,
    SampleFiles,
    copy_fov,
)
from vesselforge.generator.sampling.sampler import Sampler

MOST_SHOWN = 512
"""Images in grid.png at most."""


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
    network, description = load_generator(generator)
    network.to(pick_device(settings.device))
    sampler = Sampler(network, settings.psi, settings.label, description.get("labels"))
    files = SampleFiles(out, description, sampler, flat=True)
    content = {name: description.get(name) for name in FACTS} | {
        "channels": files.channels.to_json(),
        "generator": file_sha256(generator / AVERAGE),
        "settings": {"psi": settings.psi, "label": settings.label},
    }
    with explained(out):
        whole = sorted({*_seeds_there(out, content), *seeds})
        content |= {"seeds": shorten_seeds(whole)}
        out.mkdir(parents=True, exist_ok=True)
        # First of all, so that images are never without what they were drawn with.
        write_json(out / DESCRIPTION, content)
        files.write_missing(whole, settings.batch, progress)
        if grid:
            columns = math.ceil(math.sqrt(min(len(seeds), MOST_SHOWN) * 16 / 9))  # as a screen
            write_png(out / GRID, files.sheet(seeds[:MOST_SHOWN], columns))
        fov = copy_fov(generator, description.get("fov"), out)
        write_index(out, "drawn", [replace(files.record(seed), fov=fov) for seed in whole])
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
