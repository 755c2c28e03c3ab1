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
from vesselforge.data.imageset import INDEX, write_index, write_png
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.devices import pick_device
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import explained
from vesselforge.generator.models import AVERAGE, FOV, load_generator
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
    force: bool = False,
) -> dict[str, Any]:
    """Write `seed########.png` of every seed to `out`, samples.json, index.json (so that the
    folder is an image set) and, if asked, grid.png.

    generator: folder in the format of generator.train. settings: all but count and seed. Images
    of the same generator and settings that are there are kept, and new seeds join them. force:
    replace those of others. Returns what samples.json says. Raises ConfigError, CheckpointError,
    WorkspaceError when `out` holds images of other settings, Interrupted.
    """
    network, description = load_generator(generator)
    network.to(pick_device())
    sampler = Sampler(network, settings.psi, settings.label, description.get("labels"))
    files = SampleFiles(out, description, sampler, flat=True)
    content = {name: description.get(name) for name in FACTS} | {
        "channels": files.channels.to_json(),
        "generator": file_sha256(generator / AVERAGE),
        "settings": {"psi": settings.psi, "label": settings.label},
    }
    with explained(out):
        whole = sorted({*_make_room(out, content, force), *seeds})
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


def _make_room(out: Path, content: dict[str, Any], force: bool) -> list[int]:
    """Return the seeds whose images are there and may stay; WorkspaceError when they are of another
    generator or other settings, unless `force` removes them, and when there is a set that was not
    drawn here."""
    album = out / DESCRIPTION
    earlier = read_object(album, "what `generator draw` wrote") if album.is_file() else {}
    if "seeds" not in earlier:
        others = [out / name for name in (MANIFEST, INDEX, DESCRIPTION)]
        if any(path.exists() for path in [*others, *out.glob("seed*.png")]):
            raise WorkspaceError(
                f"{out}: holds an image set that `generator draw` did not make, and would lose its "
                f"{INDEX}; choose another folder"
            )
        return []
    before = parse_seeds(str(earlier["seeds"]))
    different = [name for name in ("generator", "settings") if earlier.get(name) != content[name]]
    if not different:
        return before
    if not force:
        raise WorkspaceError(
            f"{out}: holds images drawn with another {different[0]} ({earlier.get(different[0])}, "
            f"now {content[different[0]]}); choose another folder, or --force to replace them"
        )
    names = [f"{folder}seed{seed:08d}.png" for seed in before for folder in ("", "masks/")]
    for name in [*names, GRID, DESCRIPTION, INDEX, FOV]:
        (out / name).unlink(missing_ok=True)
    return []
