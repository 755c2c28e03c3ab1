"""How good the samples are: distances and their floor, fidelity, diversity, copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vesselforge.generator.metrics.kid_verdict import EXTRACTORS, kid_verdict
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.report.formatting import fixed, number, significant
from vesselforge.report.page import Block, Figures, Table, Text
from vesselforge.report.pictures import picture
from vesselforge.report.run.run_reading import Run

MEASURED = (
    ("fid", "FID", "fid_floor", "distance of the samples from the real images; lower is closer"),
    ("kid_mean", "KID", "kid_floor_mean", "the same, without bias; read it against its floor"),
    ("kid_std", "KID, sd", "kid_floor_std", "over resamplings"),
    ("precision", "Precision", "", "samples inside the manifold of the real images"),
    ("recall", "Recall", "", "real images inside the manifold of the samples"),
    ("density", "Density", "", "real neighbourhoods that a sample lies in; 1 is usual"),
    ("coverage", "Coverage", "", "real images with a sample in their neighbourhood"),
    (
        "c_t",
        "C_T",
        "",
        "z of the samples' distances to training views against held-out views'; below −1.64 in 1 "
        "of 20 cases with new images, far below 0: copying, or little variety",
    ),
    ("relative_distance", "Relative distance", "", "to training views; 1 as new images, 0 copies"),
)
"""Figure of the score, its title, its floor, and how to read it."""


def evidence_of(run: Run) -> Evidence | None:
    """Whether the images show vessels; None where that is not known, or not asked."""
    samples, labelled = run.synthetic("samples"), run.synthetic("labelled")
    if samples is None or labelled is None:
        return None
    return Evidence.of(labelled.metrics, samples.kind)


def warnings_of(run: Run) -> list[str]:
    """Sentences without which no score of the images should be read."""
    evidence, generator = evidence_of(run), run.synthetic("generator")
    found = [evidence.sentence] if evidence and evidence.verdict else []
    if generator and (why := untrained(generator.metrics, generator.manifest["inputs"])):
        found.append(f"The generator is {why}.")
    return found


def quality_blocks(run: Run) -> list[Block | None]:
    """Whatever was measured of the images."""
    view = run.synthetic("score")
    if view is None:
        return [Text("The samples have not been scored.")]
    figures = view.metrics
    features = figures.get("features", "")
    caption = "Samples (left) and the training view nearest to each (right), nearest first"
    return [
        measured(figures),
        Text(f"By features of: {EXTRACTORS.get(features, features)}." if features else "", "quiet"),
        Text(kid_verdict(figures)),
        Text(copied(figures)),
        Figures([picture(view.picture("closest.png"), caption, caption, 900)], "strips"),
    ]


def measured(figures: Mapping[str, Any]) -> Table:
    """Distances beside their floors; fidelity and variety, how near samples come to training
    images, with how to read each."""
    rows = [
        {
            "Score": title,
            "Value": significant(figures.get(name)),
            "Floor: real to real": significant(figures.get(floor)) if floor else "",
            "What it is": meaning,
        }
        for name, title, floor, meaning in MEASURED
        if number(figures.get(name)) is not None
    ]
    return Table("How good the samples are.", rows)


def copied(metrics: Mapping[str, Any]) -> str:
    """The copy ratio against what new images would have, with its own uncertainty."""
    names = ("copy_ratio", "copy_expected", "copy_held_out_images", "synthetic")
    if metrics.get("copy_ratio") is None:
        return ""
    ratio, expected, held_out, samples = (float(metrics[name]) for name in names)
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
