"""Trained generators, put to use."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from vesselforge.api.arguments import checked
from vesselforge.configs.base import Device
from vesselforge.configs.load import validate
from vesselforge.configs.ranges import listed_seeds
from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.devices import pick_device
from vesselforge.engine.progress import Progress
from vesselforge.generator.sampling.sample_set import draw_album
from vesselforge.generator.sampling.sampler import Drawn, DrawnPairs, Sampler, draw_arrays
from vesselforge.generator.trained import load_generator as load_network
from vesselforge.pipeline.record import generator_folder, workspace_folder

Seeds = int | str | Iterable[int]


class TrainedGenerator:
    """A trained generator that draws images; `load_generator` gives one.

    folder: where it lies. description: what its generator.json says.

    What its methods take: seeds: one or several, 0 to 2^32 - 1, or text such as "0-31,100"; the
    same seed is the same image, whatever is drawn beside it. psi: truncation in [0, 2], 1 none,
    less is more typical, 0 the mean image. label: class number of a conditional generator;
    default: drawn from its training labels. They raise ConfigError for anything else.
    """

    def __init__(self, folder: Path, device: Device = "auto") -> None:
        self.folder = folder
        self._network, self.description = load_network(folder)
        self._network.to(pick_device(device))

    @property
    def draws_masks(self) -> bool:
        """Whether each image comes with a vessel mask."""
        return bool(self.description["channels"]["kind"] == "rgb+mask")

    def _sampler(self, psi: float, label: int | None) -> Sampler:
        settings = _settings(psi, label)
        labels = self.description.get("labels")
        return Sampler(self._network, settings.psi, settings.label, labels)

    @checked
    def draw(self, seeds: Seeds, *, psi: float = 0.7, label: int | None = None) -> Drawn:
        """images [N, H, W, C] uint8, C 3 for RGB or 1 for grey, and masks [N, H, W] bool, or None
        where the generator draws none: the pixels of `vesselforge generator draw`.

        >>> import vesselforge as vf
        >>> images, masks = vf.load_generator("phantom-joint-64").draw([0, 1])
        >>> images.shape, masks.shape, str(masks.dtype)
        ((2, 64, 64, 3), (2, 64, 64), 'bool')
        """
        return draw_arrays(self._sampler(psi, label), self.description, listed_seeds(seeds))

    @checked
    def draw_to(
        self,
        folder: str | PathLike[str],
        seeds: Seeds,
        *,
        psi: float = 0.7,
        label: int | None = None,
        grid: bool = False,
    ) -> Path:
        """Write `seed########.png` of each seed to a folder, masks to its `masks/`, samples.json
        and index.json; returns the folder. grid: also grid.png, all on a sheet.

        As `vesselforge generator draw`: images of the same generator and settings that are there
        stay. Raises WorkspaceError for a folder with anything else in it.

        >>> import vesselforge as vf
        >>> made = vf.load_generator("phantom-joint-64").draw_to("eyes", "0-1")
        >>> sorted(path.name for path in made.glob("**/*.png"))
        ['seed00000000.png', 'seed00000000.png', 'seed00000001.png', 'seed00000001.png']
        """
        out = Path(folder)
        settings = _settings(psi, label)
        draw_album(self.folder, out, listed_seeds(seeds), settings, Progress(), grid)
        return out

    @checked
    def dataset(self, seeds: Seeds, *, psi: float = 0.7, label: int | None = None) -> DrawnPairs:
        """A dataset of PyTorch, (image, mask) for each seed: float32 [3, H, W] in [0, 1] and
        [1, H, W] of 0 and 1. A pair is drawn each time it is asked for; for workers of a
        DataLoader, load the generator with device="cpu".

        Raises ConfigError for a generator that draws no masks.

        >>> import vesselforge as vf
        >>> pairs = vf.load_generator("phantom-joint-64").dataset(range(100))
        >>> image, mask = pairs[7]
        >>> len(pairs), list(image.shape), list(mask.shape)
        (100, [3, 64, 64], [1, 64, 64])
        """
        return DrawnPairs(self._sampler(psi, label), self.description, listed_seeds(seeds))


@checked
def load_generator(
    name_or_path: str | PathLike[str],
    *,
    device: Device = "auto",
    workspace: str | PathLike[str] | None = None,
) -> TrainedGenerator:
    """A trained generator: one in the box (`vesselforge models list` shows them), that of a
    run of the workspace, by its name or folder, or a generator's own folder.

    device: `auto`, `cpu` or `cuda`. workspace: default $VESSELFORGE_WORKSPACE, else ./workspace.

    Raises CheckpointError for what is none of these or is damaged, WorkspaceError for a run without
    one, ConfigError for another device.

    >>> import vesselforge as vf
    >>> vf.load_generator("phantom-joint-64").draws_masks
    True
    """
    folder = generator_folder(workspace_folder(workspace), str(Path(name_or_path)))
    return TrainedGenerator(folder, device)


def _settings(psi: float, label: int | None) -> SampleSettings:
    return validate(SampleSettings, {"psi": psi, "label": label}, "draw")
