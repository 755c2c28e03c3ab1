"""Everything the template shows, gathered section by section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vesselforge.pipeline.score_rows import NOT_BETTER
from vesselforge.report.run import headline as results
from vesselforge.report.run import making
from vesselforge.report.run import scores_section as scoring
from vesselforge.report.run import training_section as training
from vesselforge.report.run.headline import Scores
from vesselforge.report.run.quality import kid_tile
from vesselforge.report.run.run_reading import Run
from vesselforge.report.tables import duration, fixed, number, plain, signed

_HERE = Path(__file__).parents[1]

SECTIONS = {
    "settings": "Settings",
    "dataset": "Dataset",
    "generator": "Synthetic images",
    "labels": "Pseudo-labels",
    "training": "Training",
    "scores": "Test scores",
    "images": "Image by image",
    "curves": "ROC and PR",
    "overlays": "Overlays",
    "provenance": "Provenance",
}


def render(run: Run, version: int) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scores = results.read_scores(run)
    scored = scores if scores is not None and scores.reference is not None else None
    content = {
        "version": version,
        "style": _own(_HERE / "style.css"),
        "script": _own(_HERE / "sort.js"),
        "sections": SECTIONS,
        "headline": results.headline(run, scores),
        "tiles": tiles(run, scored),
        **_opening(run),
        **_making(run),
        **_scoring(run, scores, scored),
        **_provenance(run),
    }
    content["problems"] = run.problems  # last: reading the artifacts is what finds them
    return environment.get_template("template.html.j2").render(content)


def _own(path: Path) -> Markup:
    return Markup(path.read_text())  # noqa: S704 (our own file, not a reader's: no need to escape)


def _opening(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "name": plain(record.get("name")),
        "status": plain(record.get("status")),
        "message": str(record.get("message") or ""),
        "started": plain(record.get("started")),
        "finished": plain(record.get("finished")),
        "seconds": duration(record.get("seconds")),
        "settings": training.settings_tables(run),
    }


def _making(run: Run) -> dict[str, Any]:
    rounds = run.rounds
    return {
        "dataset_tables": making.dataset_tables(run),
        "dataset_problems": making.dataset_problems(run),
        "dataset_pictures": making.dataset_pictures(run),
        "generators": [making.generator_part(r) for r in rounds],
        "labels": [making.label_part(r.get("labelled")) for r in rounds],
        "training_figures": training.training_figures(run),
        "rounds_table": training.rounds_table(run),
        "training_table": training.training_table(run),
    }


def _scoring(run: Run, scores: Scores | None, scored: Scores | None) -> dict[str, Any]:
    predictions = []
    if scores is not None and scored is None:
        predictions = scoring.prediction_galleries(scores.view, run.artifacts.get("test"))
    return {
        "evaluated": scores is not None,
        "scored": scored is not None,
        "reference": scores.reference if scores else None,
        "note": str(scores.view.metrics.get("note") or "") if scores else "",
        "thresholds": scoring.thresholds(scored) if scored else "",
        "metric_tables": scoring.metric_tables(scored) if scored else [],
        "contradictions": scoring.consistency(scored) if scored else [],
        "score_figures": scoring.score_figures(scored) if scored else [],
        "image_tables": scoring.image_tables(scored) if scored else [],
        "curve_figures": scoring.curve_figures(scored) if scored else [],
        "overlays": scoring.overlay_galleries(scored) if scored else [],
        "predictions": predictions,
    }


def _provenance(run: Run) -> dict[str, Any]:
    return {
        "stages": training.stage_table(run),
        "versions": training.version_table(run),
        "lineage": training.lineage(run),
    }


def tiles(run: Run, scores: Scores | None) -> list[tuple[str, str, str]]:
    """The few numbers worth a glance: (name, value, what limits it)."""
    found = _score_tiles(scores) if scores else []
    last = run.last_round
    labels = last.get("labelled")
    if (tile := kid_tile(last)) is not None:
        found.append(tile)
    if labels is not None and number(labels.metrics.get("kept")) is not None:
        kept, rejected = (int(number(labels.metrics.get(k)) or 0) for k in ("kept", "rejected"))
        found.append(("Synthetic images kept", f"{kept:,}", f"of {kept + rejected:,} labelled"))
    return found


def _score_tiles(scores: Scores) -> list[tuple[str, str, str]]:
    found = []
    pair = results.paired(scores)
    for name in scores.models:
        mean = scores.mean(name).get("f1")
        notes = [f"image mean {fixed(mean[0])}"] if isinstance(mean, list) and mean else []
        notes += [NOT_BETTER] if name in scores.not_better else []
        value = fixed(scores.pooled(name).get("f1"))
        found.append((f"F1, {scores.title(name)}", value, "; ".join(notes)))
    if pair is not None:
        note = f"95 %: {signed(pair.low)} to {signed(pair.high)}"
        found.append((f"{scores.student} − {scores.teacher}, image mean", signed(pair.mean), note))
    for name in scores.observers:
        note = f"against the {scores.reference} observer"
        found.append((f"F1, {name} observer", fixed(scores.pooled(name).get("f1")), note))
    return found
