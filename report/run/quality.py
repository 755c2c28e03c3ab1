"""How good the samples are: distances and their floor, fidelity, diversity, copies."""

from __future__ import annotations

from dataclasses import dataclass, field

from vesselforge.generator.metrics.kid_verdict import EXTRACTORS, cannot_tell, kid_verdict
from vesselforge.pipeline.evidence import Evidence, untrained
from vesselforge.report.pictures import Picture, opened, picture
from vesselforge.report.run.run_reading import View
from vesselforge.report.tables import Table, fixed, flat, number, plain, significant, spoken

DISTANCES = ["Score", "Synthetic to real", "Floor: real to real"]
MANIFOLDS = (
    ("precision", "samples inside the manifold of the real images"),
    ("recall", "real images inside the manifold of the samples"),
    ("density", "how many real neighbourhoods a sample lies in; 1 is usual, more is possible"),
    ("coverage", "real images with a sample in their neighbourhood"),
)
PATHS = (("perceptual_path_length", "LPIPS along short steps between latents; lower is smoother"),)
NEARNESS = (
    (
        "c_t",
        "C_T",
        "Mann-Whitney z of the distances to the nearest training view, samples against held-out "
        "views; far below 0: samples are nearer to training images than new images are (copying, "
        "or little variety); far above 0: unlike either. Takes crops of one image for independent "
        "and so overstates",
    ),
    (
        "relative_distance",
        "Relative distance",
        "median distance to the nearest training view, in units of the held-out views' median; "
        "1 as new images, near 0 for copies",
    ),
)
TOLD = (
    *("fid", "kid", "real", "copy_", "c_t", "relative_distance"),
    *(name for name, _ in (*MANIFOLDS, *PATHS)),
)
Round = dict[str, View]


@dataclass(frozen=True)
class Quality:
    """What generator.score found. warnings: what else has to be known beside every score. verdict,
    copied: one sentence each, or nothing."""

    warnings: list[str] = field(default_factory=list)
    distances: Table | None = None
    verdict: str = ""
    manifolds: Table | None = None
    nearness: Table | None = None
    copied: str = ""
    closest: Picture | None = None


def evidence_of(round_: Round) -> Evidence | None:
    """Whether the images of a round show vessels; None where that is not known, or not asked."""
    samples, labelled = round_.get("samples"), round_.get("labelled")
    if samples is None or labelled is None:
        return None
    return Evidence.of(labelled.metrics, samples.kind)


def warnings_of(round_: Round) -> list[str]:
    """Sentences without which no score of a round's images should be read."""
    evidence, generator = evidence_of(round_), round_.get("generator")
    found = [evidence.sentence] if evidence and evidence.verdict else []
    if generator is not None and (why := untrained(generator.metrics, generator.inputs)):
        found.append(f"The generator is {why}.")
    return found


def kid_tile(round_: Round) -> tuple[str, str, str] | None:
    """(name, value, what limits it) of a round's KID."""
    score, generator = round_.get("score"), round_.get("generator")
    if score is None or number(score.metrics.get("kid_mean")) is None:
        return None
    notes = [f"real against real: {significant(score.metrics.get('kid_floor_mean'))}"]
    if cannot_tell(score.metrics):
        notes.append("cannot tell")
    evidence = evidence_of(round_)
    if evidence and evidence.verdict:
        notes.append(evidence.verdict[0].lower() + evidence.verdict[1:])
    if generator is not None and untrained(generator.metrics, generator.inputs):
        notes.append("untrained generator")
    return "KID of the samples", significant(score.metrics["kid_mean"]), "; ".join(notes)


def quality_of(round_: Round) -> Quality:
    """Whatever there is of a round; artifacts of earlier versions have less."""
    view, warnings = round_.get("score"), warnings_of(round_)
    if view is None or not view.metrics:
        return Quality(warnings)
    return Quality(
        warnings,
        _distances(view),
        kid_verdict(view.metrics),
        _manifolds(view),
        _nearness(view),
        _copied(view),
        _closest(view),
    )


def _distances(view: View) -> Table:
    found = view.metrics
    fid, floor = (significant(found.get(name), 4) for name in ("fid", "fid_floor"))
    rows = [["FID (lower is closer)", fid, floor]]
    for title, name in (("KID, mean", "mean"), ("KID, sd over resamplings", "std")):
        pair = (found.get(f"kid_{name}"), found.get(f"kid_floor_{name}"))
        rows.append([title, *map(significant, pair)])
    rest = {k: v for k, v in flat(found) if not k.startswith(TOLD) or k in ("real", "neighbours")}
    if "features" in rest:
        rest["features"] = extractor(str(rest["features"]))
    note = ", ".join(f"{spoken(k)}: {plain(v)}" for k, v in rest.items())
    return Table("Distance of the samples from the real images.", DISTANCES, rows, note=note)


def extractor(name: str) -> str:
    """What the extractor of that setting is."""
    return EXTRACTORS.get(name, name)


def _manifolds(view: View) -> Table | None:
    rows = [
        [spoken(name).capitalize(), significant(view.metrics.get(name)), meaning]
        for name, meaning in (*MANIFOLDS, *PATHS)
        if number(view.metrics.get(name)) is not None
    ]
    return _explained("Fidelity and diversity.", rows)


def _nearness(view: View) -> Table | None:
    """How near the samples come to training images."""
    rows = [
        [title, significant(view.metrics.get(name)), meaning]
        for name, title, meaning in NEARNESS
        if number(view.metrics.get(name)) is not None
    ]
    return _explained("Copying.", rows)


def _explained(caption: str, rows: list[list[str]]) -> Table | None:
    return Table(caption, ["Score", "Value", "What it is"], rows) if rows else None


def _copied(view: View) -> str:
    """The copy ratio against what new images would have, with its own uncertainty."""
    names = ("copy_ratio", "copy_expected", "copy_held_out_images", "synthetic")
    values = [number(view.metrics.get(n)) for n in names]
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


def _closest(view: View) -> Picture | None:
    caption = "Samples (left) and the training view nearest to each (right), nearest first"
    return picture(opened(view.read("closest.png")), caption, caption, 900)
