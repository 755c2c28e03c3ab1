"""Draw docs/images/overview.png: python docs/images/make_overview.py RUN_FOLDER.

Meant for the quickstart run, whose images are phantoms and may be published.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

SIDE = 4
"""Patches per side in the two grids, every second one a mask."""


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def corner(grid: np.ndarray, patch: int) -> np.ndarray:
    """Patches, each with its mask beside it; the grid has distances, above 0 in vessels."""
    cut = grid[: SIDE * patch, : SIDE * patch].copy()
    for left in range(patch, SIDE * patch, 2 * patch):
        mask = cut[:, left : left + patch]
        mask[:] = np.where(mask > 127, 255, 0)
    return cut


def labelled(folder: Path) -> np.ndarray:
    """Kept synthetic patches, each with its vessel mask beside it."""
    items = json.loads((folder / "index.json").read_text())["items"]
    kept = [item for item in items if item["split"] == "train"][: SIDE * SIDE // 2]
    pairs = [
        np.hstack([picture(folder / item["image"]), picture(folder / item["mask"])])
        for item in kept
    ]
    rows = [np.hstack(pairs[i : i + SIDE // 2]) for i in range(0, len(pairs), SIDE // 2)]
    return np.vstack(rows)


def main(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())["artifacts"]
    store = run.parents[1] / "store"
    last = {role: store.joinpath(*where) for role, where in record.items()}
    patch = json.loads((last["generator"] / "generator.json").read_text())["resolution"]
    test = sorted((last["test"] / "images").glob("*.png"))[0]
    panels = {
        "real patches, and their vessels": corner(picture(last["generator"] / "reals.png"), patch),
        "generated, each with its mask": labelled(last["labelled"]),
        "test image": picture(test),
        "ensemble: hit, false, missed": picture(
            last["evaluation"] / "overlays/ensemble" / test.name
        ),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3.3), dpi=110)
    for axis, (title, pixels) in zip(axes, panels.items(), strict=True):
        axis.imshow(pixels, interpolation="nearest")
        axis.set_title(title, fontsize=12)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("overview.png"), metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
