"""Small datasets made of phantoms, in the official layouts of the real ones."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.catalogue import DATASETS, STARE
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.phantoms.draw import Phantom, make_phantom

SIZE = 64


@cache
def phantom(number: int, size: int = SIZE) -> Phantom:
    """Image `number`; eight at a time are one phantom turned and mirrored, which is cheaper."""
    whole, turn = divmod(number, 8)
    made = _made(whole, size)

    def turned(pixels: NDArray[Any]) -> NDArray[Any]:
        rotated = np.rot90(pixels, turn % 4)
        return np.ascontiguousarray(rotated[:, ::-1] if turn >= 4 else rotated)

    return Phantom(*(turned(pixels) for pixels in (made.image, made.mask, made.fov)))


def second(made: Phantom) -> NDArray[np.bool_]:
    """What another observer drew: the vessels with gaps."""
    gaps = np.arange(made.mask.shape[1]) % 5 == 0
    return made.mask & ~gaps


@cache
def _made(number: int, size: int) -> Phantom:
    return make_phantom(number, size)


def marked(mask: NDArray[np.bool_], fov: NDArray[np.bool_]) -> LoadedImage:
    """A black image with this vessel map."""
    black = np.zeros((*mask.shape, 3), np.uint8)
    return LoadedImage("eye", black, mask.astype(np.uint8) * 255, fov, {})


def save(path: Path, pixels: NDArray[np.uint8] | NDArray[np.bool_]) -> Path:
    """Write an image or a mask in the format that the suffix names, `.gz` included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels
    picture = Image.fromarray(array)
    if path.suffix == ".gz":
        memory = io.BytesIO()
        picture.save(memory, format="PPM")
        path.write_bytes(gzip.compress(memory.getvalue(), mtime=0))
    else:
        picture.save(path)
    return path


def write_drive(root: Path, test_manuals: bool = True) -> Path:
    """training/ and test/ as in the DRIVE download, whose test part has no manuals."""
    for split, ids in DATASETS["drive"].folds[0].items():
        part = "test" if split == TEST else "training"
        for id_ in ids:
            made = phantom(int(id_))
            save(root / part / "images" / f"{id_}_{part}.tif", made.image)
            save(root / part / "mask" / f"{id_}_{part}_mask.gif", made.fov)
            if part == "training" or test_manuals:
                save(root / part / "1st_manual" / f"{id_}_manual1.gif", made.mask)
            if part == "test" and test_manuals:
                save(root / part / "2nd_manual" / f"{id_}_manual2.gif", second(made))
    return root


def write_chase(root: Path) -> Path:
    """One flat folder, two observers, no FOV."""
    for number, id_ in enumerate(i for ids in DATASETS["chase-db1"].folds[0].values() for i in ids):
        made = phantom(number)
        save(root / f"Image_{id_}.jpg", made.image)
        save(root / f"Image_{id_}_1stHO.png", made.mask)
        save(root / f"Image_{id_}_2ndHO.png", second(made))
    return root


def write_stare(root: Path, gzipped: bool = True) -> Path:
    """Three folders of PPM, gzipped as they are offered for download; observers ah and vk."""
    end = ".gz" if gzipped else ""
    for number, id_ in enumerate(i for ids in STARE for i in ids):
        made = phantom(number)
        save(root / "stare-images" / f"{id_}.ppm{end}", made.image)
        save(root / "labels-ah" / f"{id_}.ah.ppm{end}", made.mask)
        save(root / "labels-vk" / f"{id_}.vk.ppm{end}", second(made))
    return root


def write_hrf(root: Path) -> Path:
    """images/, manual1/ and mask/, with suffixes as in the download."""
    for number, id_ in enumerate(i for ids in DATASETS["hrf"].folds[0].values() for i in ids):
        made = phantom(number)
        save(root / "images" / f"{id_}.{'JPG' if 'dr' in id_ else 'jpg'}", made.image)
        save(root / "manual1" / f"{id_}.tif", made.mask)
        save(root / "mask" / f"{id_}_mask.tif", np.repeat(made.fov[..., None], 3, axis=2))
    return root


def write_les_av(root: Path, numbers: Iterable[int] = range(250, 272)) -> Path:
    """Vessels, arteries and veins in colours, and FOVs of 22 images."""
    for place, number in enumerate(numbers):
        made = phantom(place)
        save(root / "images" / f"{number}.png", made.image)
        save(root / "vessel-segmentations" / f"{number}.png", made.mask)
        colours = np.stack([made.mask, made.mask & False, second(made)], axis=2)
        save(root / "arteries-and-veins" / f"{number}.png", colours)
        save(root / "masks" / f"{number}_mask.gif", made.fov)
    return root


def write_fives(root: Path) -> Path:
    """train/ and test/ of 800 images, all of one phantom; a letter for each quarter of a part."""
    made = phantom(0)
    image = save(root / "image.png", made.image).read_bytes()
    mask = save(root / "mask.png", made.mask).read_bytes()
    for part, count in (("train", 600), ("test", 200)):
        for folder, content in (("Original", image), ("Ground truth", mask)):
            (root / part / folder).mkdir(parents=True)
            for number in range(1, count + 1):
                letter = "ADGN"[(number - 1) * 4 // count]
                (root / part / folder / f"{number}_{letter}.png").write_bytes(content)
    return root


def write_paired(root: Path, names: Iterable[str] = "abcdefgh", fov: bool = False) -> Path:
    """images/ and masks/ (and fov/) with equal stems."""
    for number, name in enumerate(names):
        made = phantom(number)
        save(root / "images" / f"{name}.png", made.image)
        save(root / "masks" / f"{name}.png", made.mask)
        if fov:
            save(root / "fov" / f"{name}.png", made.fov)
    return root
