"""How good the samples are: distances and their floor, fidelity, diversity, copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesselforge.generator.metrics.kid_verdict import EXTRACTORS, cannot_tell, kid_verdict
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.report.formatting import fixed, flat, number, plain, significant, spoken
from vesselforge.report.page import Block, Figures, Table, Text, Tile
from vesselforge.report.pictures import picture
from vesselforge.report.run.run_reading import Round

MEASURED = (
    ("precision", "Precision", "samples inside the manifold of the real images"),
    ("recall", "Recall", "real images inside the manifold of the samples"),
    ("density", "Density", "real neighbourhoods that a sample lies in; 1 is usual"),
    ("coverage", "Coverage", "real images with a sample in their neighbourhood"),
    (
        "c_t",
        "C_T",
        "z of the samples' distances to training views against held-out views'; below −1.64 in 1 "
        "of 20 cases with new images, far below 0: copying, or little variety",
    ),
    ("relative_distance", "Relative distance", "to training views; 1 as new images, 0 for copies"),
)
"""Figure of the score, its title, and how to read it."""
ELSEWHERE = ("fid", "kid", "real", "copy_", "c_t", *(name for name, _, _ in MEASURED))
"""How the names of figures begin that the note on the distances leaves out."""


def evidence_of(round_: Round) -> Evidence | None:
    """Whether the images of a round show vessels; None where that is not known, or not asked."""
    samples, labelled = round_.get("samples"), round_.get("labelled")
    if samples is None or labelled is None:
        return None
    return Evidence.of(labelled.metrics, samples.kind)


def warnings_of(rounds: Sequence[Round]) -> list[str]:
    """Sentences without which no score of the rounds' images should be read."""
    found = []
    for place, round_ in enumerate(rounds, 1):
        evidence, generator = evidence_of(round_), round_.get("generator")
        where = f"Round {place}: " if len(rounds) > 1 else ""
        if evidence and evidence.verdict:
            found.append(f"{where}{evidence.sentence}")
        if generator and (why := untrained(generator.metrics, generator.manifest["inputs"])):
            found.append(f"{where}The generator is {why}.")
    return found


def kid_tile(round_: Round) -> list[Tile]:
    """A round's KID with its floor, where it was measured."""
    figures = round_["score"].metrics if "score" in round_ else {}
    if number(figures.get("kid_mean")) is None:
        return []
    note = f"real against real: {significant(figures.get('kid_floor_mean'))}"
    note += "; cannot tell" if cannot_tell(figures) else ""
    return [("KID of the samples", significant(figures["kid_mean"]), note)]


def quality_blocks(round_: Round) -> list[Block | None]:
    """Whatever was measured of a round's images."""
    view = round_.get("score")
    if view is None:
        return [Text("The samples have not been scored.")]
    caption = "Samples (left) and the training view nearest to each (right), nearest first"
    return [
        distances(view.metrics),
        Text(kid_verdict(view.metrics)),
        measured(view.metrics),
        Text(copied(view.metrics)),
        Figures([picture(view.picture("closest.png"), caption, caption, 900)], "strips"),
    ]


def distances(figures: Mapping[str, Any]) -> Table:
    """FID and KID beside their floors, and on what they rest."""
    fid, floor = (significant(figures.get(name), 4) for name in ("fid", "fid_floor"))
    rows = [["FID (lower is closer)", fid, floor]]
    for title, name in (("KID, mean", "mean"), ("KID, sd over resamplings", "std")):
        pair = (figures.get(f"kid_{name}"), figures.get(f"kid_floor_{name}"))
        rows.append([title, *map(significant, pair)])
    rest = [
        f"{spoken(name)}: {plain(EXTRACTORS.get(value, value) if name == 'features' else value)}"
        for name, value in flat(dict(figures))
        if not name.startswith(ELSEWHERE) or name in ("real", "neighbours")
    ]
    head = ["Score", "Synthetic to real", "Floor: real to real"]
    return Table("Distance of the samples from the real images.", head, rows, ", ".join(rest))


def measured(figures: Mapping[str, Any]) -> Table:
    """Fidelity and variety, how near samples come to training images, with how to read each."""
    rows = [
        [title, significant(figures.get(name)), meaning]
        for name, title, meaning in MEASURED
        if number(figures.get(name)) is not None
    ]
    caption = "Fidelity, diversity and copying."
    return Table(caption, ["Score", "Value", "What it is"], rows)


def copied(metrics: Mapping[str, Any]) -> str:
    """The copy ratio against what new images would have, with its own uncertainty."""
    names = ("copy_ratio", "copy_expected", "copy_held_out_images", "synthetic")
    values = [number(metrics.get(n)) for n in names]
    if any(v is None for v in values):
        return ""
    ratio, expected, held_out, samples = (float(v or 0) for v in values)
    # Crops of one image are alike: what counts is the number of images they come from.
    error = (expected * (1 - expected) * (1 / max(samples, 1) + 1 / (held_out + 1))) ** 0.5
    facts = (
        f"{fixed(100 * ratio, 1)} % of the samples come nearer to a training image than all but "
        f"{fixed(100 * expected, 1)} % of the views of {held_out:.0f} held-out images do"
    )
    if ratio <= expected + 2 * error:
        return f"No sign of copying: {facts}."
    return (
        f"Suspicion of copying: {facts}. Compare the pairs below: true copies share their vessels. "
        "Truncation (psi below 1) and blank images also bring samples nearer."
    )
