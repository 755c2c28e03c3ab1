"""The trained networks that come with the package, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vesselforge import pretrained
from vesselforge.pipeline.evidence import untrained
from vesselforge.pipeline.score_rows import NOT_BETTER, is_not_better


def model_rows(kind: pretrained.Kind) -> list[dict[str, Any]]:
    """One row for each of a kind, as its card says."""
    return [
        {"name": name}
        | ROWS[kind](pretrained.card(name))
        | {"MB": round(pretrained.size(name) / 1e6, 2)}
        for name in pretrained.names(kind)
    ]


def _segmenter_row(card: Mapping[str, Any]) -> dict[str, Any]:
    """Scores are those on the test images of its own dataset."""
    data = card["trained_on"]
    scores = card["scores"].get(data["dataset"], {})
    pooled = scores.get("fov", {}).get("pooled", {})
    mark = f", {NOT_BETTER}" if is_not_better(scores) else ""
    return {
        "network": f"{card['network']}{mark}",
        "parameters": card["parameters"],
        "trained on": f"{data['dataset']}, {len(data['train'])} images",
        "seed": card["seed"],
        "F1": pooled.get("f1"),
        "AUC": pooled.get("auc"),
    }


def _generator_row(card: Mapping[str, Any]) -> dict[str, Any]:
    side, seen = card["resolution"], card["trained_on"].items()
    return {
        "images": f"{side} x {side}, {card['channels']}",
        "parameters": card["parameters"]["generator"],
        "trained on": "; ".join(f"{n}, {' + '.join(map(str, c))} images" for n, c in seen),
        "kimg": f"{card['kimg']:g}, untrained" if untrained(card, {}) else card["kimg"],
        "KID": card["trainings"][-1]["scores"].get("kid_mean"),
    }


ROWS: dict[pretrained.Kind, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "segmenter": _segmenter_row,
    "generator": _generator_row,
}
