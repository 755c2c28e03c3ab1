"""Which photographs a model has seen, itself or by what it began with, as far as store and cards
tell: a score on images that were trained on says nothing of new ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vesselforge import pretrained
from vesselforge.configs.settings import StartSettings
from vesselforge.data.layouts.splits import TEST
from vesselforge.engine.artifacts import MANIFEST, Artifact, read_artifact
from vesselforge.engine.documents import read_object, records
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.models.publishing import store_of
from vesselforge.pipeline.starts import STEP

SEEN = "images_seen"
"""On a card: SHA-256 of the pixels of the images that trained or chose something."""


def images_seen(model: Path) -> set[str]:
    """SHA-256 of the decoded pixels of each image that a model's folder, or an artifact, owes
    something to. Raises WorkspaceError for a damaged card or manifest."""
    found: set[str] = set()
    if (model / pretrained.CARD).is_file():
        found |= set(map(str, read_object(model / pretrained.CARD, "a card").get(SEEN, [])))
    if not (model / MANIFEST).is_file():
        return found
    artifact = read_artifact(model)
    if artifact.kind == "data.prepare":
        rows = _checked(artifact)
        return {sha for sha, split in rows if split != TEST}
    if begun := artifact.manifest["settings"].get("model"):  # segmenter.start
        found |= images_seen(Path(begun))
    for digest in artifact.manifest["inputs"].values():
        for folder in store_of(model).root.glob(f"*/{digest}"):
            found |= images_seen(folder)
    return found


def seen_before(start: Work | None, tests: Iterable[Artifact]) -> str:
    """What is to be said of scores on test images that the model to begin with has seen; empty
    where it has seen none, as far as is known. start: the work that copies it."""
    if start is None or not isinstance(start.settings, StartSettings):
        return ""
    name = Path(start.step.removeprefix(STEP)).name
    hashes = {sha for test in tests for sha, _ in _checked(test)}
    known = images_seen(start.settings.model)
    if not hashes & known:
        return ""
    return (
        f"{len(hashes & known)} of {len(hashes)} test images are among those that {name} was "
        "trained on or chosen by: scores on them, before and after, are too high, and say nothing "
        "of new images. Begin with a model that has not seen these."
    )


def _checked(images: Artifact) -> list[tuple[str, str]]:
    """SHA-256 and split of each image of a prepared set."""
    path = images.path / "check.json"
    if not path.is_file():
        return []
    rows = records(read_object(path, "what the check of images found").get("images"))
    return [(str(row.get("sha256")), str(row.get("split"))) for row in rows]
