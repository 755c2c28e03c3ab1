"""Walks through latent space as a GIF that closes its loop; the layer noise stands still."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.interpolate import CubicSpline
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import replacing
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import explained
from vesselforge.generator.sampling.sampler import Sampler, picture_size, pictures
from vesselforge.generator.trained import load_generator
from vesselforge.generator.values import to_uint8

FRAME_MS = 30
"""A GIF counts in hundredths of a second, and browsers slow down what is shorter than two."""
PALETTE_FRAMES = 8
"""Frames, evenly spread, from which the 256 colours of the whole film are chosen; of each frame its
own would flicker."""


def walk(
    generator: Path,
    out: Path,
    seeds: Sequence[int],
    frames: int,
    settings: SampleSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Write `out` (.gif): from each seed's image to the next one's and back to the first.

    Returns file, frames, width and height. Raises ConfigError for settings or a file name that
    cannot be, Interrupted when asked to stop; `out` is whole or what it was before.
    """
    if out.suffix.lower() != ".gif":
        raise ConfigError(f"{out}: found the ending {out.suffix or 'none'}, expected .gif")
    if frames < len(seeds):
        raise ConfigError(f"--frames {frames}: fewer than the {len(seeds)} seeds of the walk")
    network, description = load_generator(generator)
    network.to(pick_device())
    sampler = Sampler(network, settings.psi, settings.label, description.get("labels"))
    path, size = path_in_w(sampler, seeds, frames), picture_size(description)

    def frame(number: int) -> Image.Image:
        image = to_uint8(sampler.render(path[number][None]).cpu()).numpy()
        return Image.fromarray(np.ascontiguousarray(pictures(image, size)[0].transpose(1, 2, 0)))

    few = np.unique(np.linspace(0, frames - 1, min(frames, PALETTE_FRAMES)).astype(int))
    montage = Image.fromarray(np.concatenate([np.asarray(frame(int(i))) for i in few]))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    film = []
    for number in range(frames):
        if progress.stop_requested:
            raise Interrupted(f"generator walk stopped at frame {number} of {frames}")
        film.append(frame(number).quantize(palette=palette))
        progress.update(number + 1, frames, "frames")
    with explained(out, named=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as aside:
            film[0].save(
                aside, "GIF", save_all=True, append_images=film[1:], duration=FRAME_MS, loop=0
            )
    return {"file": str(out), "frames": frames, "width": film[0].width, "height": film[0].height}


def path_in_w(sampler: Sampler, seeds: Sequence[int], frames: int) -> Tensor:
    """Return w of every frame, `[frames, num_ws, w_dim]`: a closed cubic spline through the
    seeds' styles, so that the motion does not turn sharply at any of them; between two it swings
    there and back."""
    keys = sampler.styles(seeds)
    if len(seeds) == 1:
        return keys.expand(frames, -1, -1)
    closed = torch.cat([keys, keys[:1]]).double().cpu().numpy()
    spline = CubicSpline(np.arange(len(closed)), closed, bc_type="periodic")
    moments = np.arange(frames) * len(seeds) / frames
    return torch.from_numpy(spline(moments)).to(keys)
