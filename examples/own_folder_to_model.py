"""From a folder of images and masks to a model, its scores and a vessel map.

    python examples/own_folder_to_model.py            # phantoms stand for your images
    python examples/own_folder_to_model.py my-eyes    # my-eyes/images/*.png, my-eyes/masks/*.png

A teacher is trained on the real images; a student sees phantoms that look like them first. Both,
and their ensemble, are scored on test images that nothing else has seen. The same command again
goes on where it stopped. For a few dozen photographs of your own, begin with the model in the box
instead: `vesselforge finetune sa-unet-drive my-eyes`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

import vesselforge as vf

SMALL = {"steps": 200, "batch": 8, "crop": 64, "lr": 0.004, "ema": 0.98, "validate_every": 100}


def write_phantoms(folder: Path, count: int = 12, size: int = 128) -> Path:
    """Images and masks in the layout that any folder may have."""
    for seed in range(count):
        eye = vf.phantom(seed, size)
        for part, pixels in (("images", eye.image), ("masks", eye.mask)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"eye{seed:02}.png")
    return folder


def main(folder: Path, overrides: Mapping[str, Any] | None = None) -> vf.RunResult:
    config = {
        "name": "own-folder",
        "data": {"name": "paired", "root": folder},
        "source": "phantom",
        "sample": {"count": 24},
        "teacher": SMALL,
        "pretrain": {"steps": 100},
        "finetune": {"steps": 100, "validate_every": 50},
    }
    result = vf.run(config, overrides=overrides)
    for name, scores in result.scores.items():
        print(f"{name}: F1 {scores['f1']}, AUC {scores['auc']}")
    print(f"serves: {result.chosen}; report: {result.report}")

    model = vf.load_model(result.folder)  # the one that serves
    image = min((folder / "images").iterdir())
    found = model.segment(image)
    Image.fromarray(found.mask).save("vessels.png")
    print(f"{image}: {found.mask[found.fov].mean():.1%} vessel, see vessels.png")
    return result


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else write_phantoms(Path("my-eyes")))
