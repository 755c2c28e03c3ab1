"""Walks through latent space as a GIF or MP4 that closes its loop; the layer noise stands still."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import CubicSpline
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.devices import pick_device
from vesselforge.engine.files import replacing
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import explained
from vesselforge.generator.models import load_generator
from vesselforge.generator.sampling.grids import picture_size, pictures
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.values import to_uint8

Frame = NDArray[np.uint8]
PALETTE_FRAMES = 8
"""Frames, evenly spread, from which a GIF's 256 colours are chosen."""


def walk(
    generator: Path,
    out: Path,
    seeds: Sequence[int],
    frames: int,
    settings: SampleSettings,
    progress: Progress,
    fps: float = 30.0,
) -> dict[str, Any]:
    """Write `out` (.gif or .mp4): from each seed's image to the next one's and back to the first.

    Returns file, frames, fps (a GIF counts in hundredths of a second), width and height. Raises
    ConfigError for settings or a file name that cannot be, Interrupted when asked to stop; `out`
    is whole or what it was before.
    """
    write = _writer(out)
    if frames < len(seeds):
        raise ConfigError(f"--frames {frames}: fewer than the {len(seeds)} seeds of the walk")
    network, description = load_generator(generator)
    network.to(pick_device())
    sampler = Sampler(network, settings.psi, settings.label, description.get("labels"))
    path, size = path_in_w(sampler, seeds, frames), picture_size(description)

    def frame(number: int) -> Frame:
        image = to_uint8(sampler.render(path[number][None]).cpu()).numpy()
        return np.ascontiguousarray(pictures(image, size)[0].transpose(1, 2, 0))

    height, width = frame(0).shape[:2]

    def shown() -> Iterator[Frame]:
        for number in range(frames):
            if progress.stop_requested:
                raise Interrupted(f"generator walk stopped at frame {number} of {frames}")
            yield frame(number)
            progress.update(number + 1, frames, "frames")

    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as aside:
            played = write(aside, shown(), frame, frames, fps)
    return {"file": str(out), "frames": frames, "fps": played, "width": width, "height": height}


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


Write = Callable[[Path, Iterator[Frame], Callable[[int], Frame], int, float], float]


def _writer(out: Path) -> Write:
    kind = out.suffix.lower()
    if kind == ".gif":
        return _write_gif
    if kind != ".mp4":
        raise ConfigError(f"{out}: found the ending {kind or 'none'}, expected .gif or .mp4")
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ConfigError(
            f"{out}: writing MP4 needs the package imageio-ffmpeg, which is not installed; "
            "pip install imageio-ffmpeg, or choose a name that ends in .gif"
        )
    return _write_mp4


def _write_gif(
    path: Path, shown: Iterator[Frame], frame: Callable[[int], Frame], count: int, fps: float
) -> float:
    """256 colours for the whole film, or they would flicker. Returns the frames per second."""
    few = np.unique(np.linspace(0, count - 1, min(count, PALETTE_FRAMES)).astype(int))
    montage = Image.fromarray(np.concatenate([frame(int(i)) for i in few]))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    first, *rest = [Image.fromarray(pixels).quantize(palette=palette) for pixels in shown]
    hundredths = max(2, round(100 / fps))  # browsers slow down what is shorter
    first.save(
        path, format="GIF", save_all=True, append_images=rest, duration=10 * hundredths, loop=0
    )
    return 100 / hundredths


def _write_mp4(
    path: Path, shown: Iterator[Frame], frame: Callable[[int], Frame], count: int, fps: float
) -> float:
    """H.264 as every player knows it. Returns the frames per second."""
    import imageio_ffmpeg

    height, width = frame(0).shape[:2]
    stream = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, quality=8, macro_block_size=2,
        output_params=["-f", "mp4", "-movflags", "+faststart"],
    )  # fmt: skip
    stream.send(None)
    try:
        for pixels in shown:
            stream.send(np.ascontiguousarray(pixels))
    finally:
        stream.close()
    return fps
