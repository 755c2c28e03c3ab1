"""Drawing chosen seeds into a folder of one's own, which never mixes two ways of drawing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import WorkspaceError
from configs.ranges import parse_seeds, shorten_seeds
from configs.settings import SampleSettings
from data.devices import pick_device
from data.imageset import INDEX, write_index, write_png
from data.progress import Progress
from data.store import MANIFEST, explained, file_sha256, identity_of, write_json
from generator.draw import Sampler
from generator.grids import official_grid, picture_size, sheet_columns
from generator.models import AVERAGE, FOV, load_generator
from generator.sampling import DESCRIPTION, FACTS, GRID, SampleFiles, copy_fov

OURS = ("seed[0-9]*.png", "seed[0-9]*.tif", "masks/seed[0-9]*.png", GRID, DESCRIPTION, INDEX, FOV)
"""Everything that drawing writes: all that `force` removes."""


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
    network.to(pick_device(settings.device))
    sampler = Sampler(network, settings, description.get("labels"))
    files = SampleFiles(out, description, sampler, flat=True)
    content = {name: description[name] for name in FACTS} | {
        "channels": files.channels.to_json(),
        "generator": _identity(generator),
        "settings": _way(settings),
    }
    with explained(out):
        before = _make_room(out, content, force)
        out.mkdir(parents=True, exist_ok=True)
        # First of all, so that images are never without what they were drawn with.
        write_json(out / DESCRIPTION, content | {"seeds": shorten_seeds(before)})
        files.write_missing(seeds, settings.batch, progress)
        if grid:
            size = picture_size(description)
            columns, rows = official_grid(*size)
            shown = list(seeds)[: columns * rows]
            write_png(out / GRID, files.sheet(shown, sheet_columns(len(shown), *size)))
        fov = copy_fov(generator, description["fov"], out)
        whole = sorted({*before, *seeds})
        write_index(out, "drawn", [replace(files.record(seed), fov=fov) for seed in whole])
        content |= {"seeds": shorten_seeds(whole)}
        write_json(out / DESCRIPTION, content)
    return content


def _identity(generator: Path) -> dict[str, Any]:
    """Return which generator it is: the SHA-256 of its weights, its address if it has one."""
    manifest = generator / MANIFEST
    digest = json.loads(manifest.read_text())["digest"] if manifest.is_file() else None
    return {"weights_sha256": file_sha256(generator / AVERAGE), "artifact": digest}


def _way(settings: SampleSettings) -> dict[str, Any]:
    """Return the settings that decide what a seed's image looks like."""
    found = identity_of(settings)
    for name in ("count", "seed"):
        del found[name]
    if settings.mix_with is None:
        del found["mix_layers"]
    return found


def _make_room(out: Path, content: dict[str, Any], force: bool) -> list[int]:
    """Return the seeds whose images may stay; WorkspaceError when there are images of another
    generator or other settings, which `force` removes."""
    drawn = [path for pattern in OURS[:2] for path in out.glob(pattern)]
    if not drawn and not (out / DESCRIPTION).is_file():
        return []
    earlier = _read(out)
    differences = _differences(earlier, content)
    if not differences:
        names = {path.stem for path in drawn}
        found = parse_seeds(earlier["seeds"]) if earlier["seeds"] else []
        return [seed for seed in found if f"seed{seed:08d}" in names]
    if not force:
        raise WorkspaceError(
            f"{out}: holds {len(drawn)} images drawn otherwise ({'; '.join(differences)}); "
            "choose another folder, or --force to replace them"
        )
    for pattern in OURS:
        for path in out.glob(pattern):
            path.unlink()
    return []


def _read(out: Path) -> dict[str, Any]:
    try:
        found = json.loads((out / DESCRIPTION).read_text())
        parse_seeds(found["seeds"] or "0")
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    if not earlier:
        return [f"no readable {DESCRIPTION}"]
    weights = "weights_sha256"
    if earlier.get("generator", {}).get(weights) != now["generator"][weights]:
        return ["by another generator"]
    then = earlier.get("settings", {})
    names = sorted({*then, *now["settings"]})
    return [
        f"{name} {then.get(name)}, now {now['settings'].get(name)}"
        for name in names
        if then.get(name) != now["settings"].get(name)
    ]
