"""What a reader of a run's scores has to know of its synthetic images and of its student; of a
cross-validation, once for all folds that it is true of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vesselforge.configs.settings import Order
from vesselforge.data.layouts.warned import told_apart
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
DIFFERENT = re.compile(r"\S*[\d/]\S*|\((train|validation|test)\)")
"""Numbers, paths and splits, by which sentences may differ that say the same of two folds."""


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


def by_fold(said: Mapping[str, Iterable[str]]) -> list[str]:
    """What is said of the folds: of sentences that are equal, or differ in DIFFERENT alone, the
    first, with the folds of the others: `fold 0 (and like it in folds 1, 3): …`. said: fold →
    sentences."""
    groups: dict[str, tuple[str, list[str]]] = {}
    for fold, sentences in said.items():
        for sentence in sentences:
            groups.setdefault(_pattern(sentence), (sentence, []))[1].append(fold)
    lines = []
    for sentence, (first, *others) in groups.values():
        folds = f"fold{'s' * (len(others) > 1)} {', '.join(others)}"
        lines.append(f"fold {first}{f' (and like it in {folds})' if others else ''}: {sentence}")
    return lines


def without_repeats(warned: Iterable[str]) -> list[str]:
    """Lines of `warning_line`, all of one dataset in its folds: of those that differ in DIFFERENT
    alone the first, with how many are like it."""
    groups: dict[str, list[str]] = {}
    for line in warned:
        groups.setdefault(_pattern(told_apart(line)), []).append(line)
    return [
        f"{first} (and {len(others)} like it)" if others else first
        for first, *others in groups.values()
    ]


def _pattern(sentence: str) -> str:
    return DIFFERENT.sub("…", sentence)
