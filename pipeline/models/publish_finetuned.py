"""What `vesselforge finetune` leaves: `workspace/models/<name>`, the model for use with a card that
tells where it began and how good it is.

No image is left to score that model on, so its score is that of models which were trained in the
same way without the images that they are scored on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vesselforge import pretrained
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.documents import read_object
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.choice import FINAL, START, TUNED, chosen
from vesselforge.pipeline.models.publish_segmenter import facts_of_model, scores_of
from vesselforge.pipeline.models.publishing import source, write_published
from vesselforge.pipeline.models.score_rows import pixel_rows
from vesselforge.pipeline.models.seen import SEEN, images_seen
from vesselforge.pipeline.record import read_run

BEFORE, AFTER = "before", "after"
OWN_TEST = (
    f"“{AFTER}” is this very model, which was given none of these images; “{BEFORE}” is what it "
    "began with, as it came."
)


def publish_finetuned(run: Path, workspace: Path) -> Path:
    """Write the model of a finished run of real images alone, whole or not at all, in the place of
    an earlier one of that name. Returns its folder. Raises ConfigError or WorkspaceError."""
    _, record = read_run(workspace, str(run))
    store = Store(run.absolute().parent.parent)
    final = store.read(*record["artifacts"][chosen(record)])
    fill = partial(make_card, final, record, store)
    out, name = workspace / "models", str(record["name"])
    return write_published("segmenter", final.path, name, out, True, fill, shipped=False)


def make_card(
    final: Artifact, record: Mapping[str, Any], store: Store, folder: Path
) -> dict[str, Any]:
    """Fill `folder` with the model; return the facts of its card."""
    facts = facts_of_model(final.path, final.manifest, folder)
    facts["began_with"] = begun = began_with(record, final, store)
    seen = facts["trained_on"]
    evaluation = store.read(*record["artifacts"]["evaluation"]).metrics
    names = {START: BEFORE, TUNED: AFTER}
    evaluation["split"] = "out of fold" if "folds" in evaluation else "test"
    found = {
        f"{seen['dataset']}, {names[role]}": scores_of(evaluation, scores)
        for role, scores in evaluation["models"].items()
        if role in names
    }
    said = honest(seen, evaluation, begun) if FINAL in record["artifacts"] else OWN_TEST
    told = " ".join([said, record.get("seen_before") or ""]).strip()
    known = {SEEN: sorted(images_seen(final.path))}
    return facts | {"scores": found, "honest": told} | known


def began_with(record: Mapping[str, Any], final: Artifact, store: Store) -> dict[str, Any]:
    """The model that the training began with: its name, the hash of its content, and what it was
    trained on as far as its card says."""
    start = store.read("segmenter.start", final.manifest["inputs"]["start"])
    place = Path(record["config"]["teacher"]["start_from"])
    name = place.name
    card = pretrained.folder(name) if name in pretrained.names() else place
    seen, path = None, card / pretrained.CARD
    if path.is_file():
        seen = read_object(path, "the card of a model").get("trained_on", {}).get("dataset")
    known = source(seen) if seen else f"what {name} was trained on"
    return {"model": name, "content": start.manifest["inputs"]["model"], "data": known}


def honest(seen: Mapping[str, Any], evaluation: Mapping[str, Any], begun: Mapping[str, Any]) -> str:
    """What the scores are scores of."""
    trained, chose = len(seen["train"]), len(seen["validation"])
    held, folds = evaluation["images"], evaluation.get("folds")
    if not evaluation["models"]:
        return "Not scored: the images that were held out for it have no masks."
    after = f"is a model trained in the same way without the {held} images that it was scored on"
    if folds:
        after = (
            f"is the out-of-fold score of a cross-validation: {folds} models were trained in the "
            f"same way, and each of the {held} images was scored by the one that had not seen it"
        )
    return (
        f"No image is left to score this very model on: it was trained on {trained} images, and "
        f"{chose} others chose weights and threshold. “{AFTER}” {after}; “{BEFORE}” is "
        f"{begun['model']} as it came, on the same images."
    )


def cards(workspace: Path) -> dict[str, dict[str, Any]]:
    """Name → card of each such model of a workspace. Raises WorkspaceError for a damaged one."""
    paths = sorted((workspace / "models").glob(f"*/{pretrained.CARD}"))
    expected = "the card of a model: run `vesselforge finetune` again"
    fields: dict[str, type] = {"scores": dict, "began_with": dict, "honest": str}
    return {p.parent.name: read_object(p, expected, fields=fields) for p in paths}


def card_rows(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a model."""
    rows = []
    for name, card in found.items():
        seen, scores = card["trained_on"], card["scores"]
        f1 = {key.rpartition(", ")[2]: one["fov"]["pooled"]["f1"] for key, one in scores.items()}
        row = {"name": name, "began with": card["began_with"]["model"], "network": card["network"]}
        row |= {"trained on": f"{seen['dataset']}, {len(seen['train'])} images"}
        rows.append(row | {f"F1 {when}": f1.get(when) for when in (BEFORE, AFTER)})
    return rows


def score_lines(card: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The scores on the card of a model, as rows with their title."""
    images = max((found["images"] for found in card["scores"].values()), default=0)
    about = f"{images} images that were not trained on, pooled inside the field of view"
    return pixel_rows(card["scores"], "fov") if card["scores"] else [], about
