"""What a reader of a run's scores has to know of its synthetic images and of its student."""

from __future__ import annotations

from collections.abc import Mapping

from vesselforge.configs.settings import Order
from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.pipeline.graph import Work

NOT_PRETRAINED: dict[Order, str] = {
    "synthetic-first": "The student has seen no synthetic image: finetune.start_from takes the "
    "place of its first training.",
    "real-first": "The student was not trained on real images before the synthetic ones: "
    "finetune.start_from takes the place of its first training.",
}
"""Where the second training of a student begins with a model of its own; mixed has no second."""


def remarks_on(planned: Mapping[str, Work], there: Mapping[str, Artifact]) -> list[str]:
    """Sentences that belong beside every score of these images and of students trained on them.
    there: role → artifact, of those that there are."""
    found = []
    if "labelled" in there:
        evidence = Evidence.of(there["labelled"].metrics, planned["samples"].kind)
        found += [evidence.sentence] if evidence is not None and evidence.verdict else []
    if "generator" in there:
        inputs = {**planned["generator"].inputs, **planned["generator"].outside}
        if why := untrained(there["generator"].metrics, inputs):
            found.append(f"The generator is {why}.")
    return found


def all_rejected(labelled: Artifact) -> str:
    """Why there is nothing to train on, when every synthetic image was rejected; else empty."""
    found = labelled.metrics
    if found["kept"]:
        return ""
    reasons = found["reasons"]
    mostly = f" (mostly: {max(reasons, key=reasons.get)})" if reasons else ""
    return (
        f"pseudo_label: all {found['rejected']} synthetic images were rejected{mostly}, see "
        f"{labelled.path / 'labels.csv'}; train the generator longer, or loosen the filters "
        "(min_confidence, min_vessel_share, max_vessel_share, …)"
    )
