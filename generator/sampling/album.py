"""Drawing chosen seeds into a folder of one's own, which never mixes two ways of drawing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.ranges import shorten_seeds
from vesselforge.configs.settings import SampleSettings
from vesselforge.data.imageset import INDEX, write_index, write_png
from vesselforge.engine.artifacts import MANIFEST, identity_of
from vesselforge.engine.devices import pick_device
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import explained
from vesselforge.generator.models import AVERAGE, FOV, load_generator
from vesselforge.generator.sampling.draw import Sampler
from vesselforge.generator.sampling.grids import official_grid, picture_size
from vesselforge.generator.sampling.stage import DESCRIPTION, FACTS, GRID, SampleFiles, copy_fov

IMAGE = re.compile(r"seed(\d{8,10})\.(png|tif)")
BESIDE = (GRID, DESCRIPTION, INDEX, FOV)
"""What drawing writes beside images (and masks of the same names in `masks/`)."""


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
    content = {name: description.get(name) for name in FACTS} | {
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
            columns, rows = official_grid(*picture_size(description))
            write_png(out / GRID, files.sheet(seeds[: columns * rows], screen=True))
        fov = copy_fov(generator, description.get("fov"), out)
        whole = sorted({*before, *seeds})
        write_index(out, "drawn", [replace(files.record(seed), fov=fov) for seed in whole])
        content |= {"seeds": shorten_seeds(whole)}
        write_json(out / DESCRIPTION, content)
    return content


def _identity(generator: Path) -> dict[str, Any]:
    """Return which generator it is: the SHA-256 of its weights, its address if it has one."""
    manifest = generator / MANIFEST
    expected = "the manifest of a training: copy the generator's folder again"
    digest = read_object(manifest, expected).get("digest") if manifest.is_file() else None
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
    """Return the seeds whose images are there and may stay; WorkspaceError when they are of another
    generator or other settings, unless `force` removes them, and when there is a set that was not
    drawn here."""
    images, earlier = _images(out), _read(out)
    if (out / MANIFEST).is_file() or ((out / INDEX).is_file() and "generator" not in earlier):
        raise WorkspaceError(
            f"{out}: holds an image set that `generator draw` did not make, and would lose its "
            f"{INDEX}; choose another folder"
        )
    if not images and not (out / DESCRIPTION).is_file():
        return []
    differences = _differences(earlier, content)
    if not differences:
        return sorted(int(match[1]) for match in images.values())
    if not force:
        raise WorkspaceError(
            f"{out}: holds {len(images)} images drawn otherwise ({'; '.join(differences)}); "
            "choose another folder, or --force to replace them"
        )
    for path in [*images, *_images(out / "masks"), *(out / name for name in BESIDE)]:
        path.unlink(missing_ok=True)
    return []


def _images(folder: Path) -> dict[Path, re.Match[str]]:
    """Return the images of seeds in a folder; nobody else's files."""
    found = {path: IMAGE.fullmatch(path.name) for path in folder.glob("seed*")}
    return {path: match for path, match in found.items() if match}


def _read(out: Path) -> dict[str, Any]:
    """Return samples.json as it is, or nothing when it cannot be read."""
    try:
        found = read_object(out / DESCRIPTION, "what `generator draw` wrote")
    except WorkspaceError:
        return {}
    return (
        found if all(isinstance(found.get(k, {}), dict) for k in ("generator", "settings")) else {}
    )


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
