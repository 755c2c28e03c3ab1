"""The page of a run."""

from __future__ import annotations

from typing import Any

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.score_rows import NOT_BETTER
from vesselforge.report.formatting import fixed
from vesselforge.report.page import Note, Page, Tile
from vesselforge.report.record_sections import record_sections
from vesselforge.report.run.headline import headline
from vesselforge.report.run.quality import warnings_of
from vesselforge.report.run.run_reading import Run, open_run
from vesselforge.report.run.scored import Scores, read_scores
from vesselforge.report.run.scores_section import score_sections
from vesselforge.report.run.synthetic_sections import synthetic_sections
from vesselforge.report.run.training_sections import dataset_section, training_section


def run_page(record: dict[str, Any], store: Store) -> Page:
    """Scores and pictures first, settings last."""
    run = open_run(record, store)
    scores = read_scores(run)
    first = headline(run, scores)
    sections = [
        *score_sections(run, scores),
        *synthetic_sections(run),
        training_section(run),
        dataset_section(run),
        *record_sections(record, PipelineConfig),
    ]
    notes = [Note("Read no score of these images without this", warnings_of(run))]
    tiles = [*(score_tiles(scores) if scores and scores.reference else []), *image_tiles(run)]
    return Page("run", record, *first[:2], tiles, first.caveats, sections, run.problems, notes)


def score_tiles(scores: Scores) -> list[Tile]:
    """F1 of every model."""
    found = []
    for name in scores.models:
        mean = scores.mean(name).get("f1")
        notes = [f"image mean {fixed(mean[0])}"] if mean else []
        notes += [NOT_BETTER] if name in scores.not_better else []
        value = fixed(scores.pooled(name).get("f1"))
        found.append((f"F1, {scores.title(name)}", value, "; ".join(notes)))
    return found


def image_tiles(run: Run) -> list[Tile]:
    """What became of the synthetic images."""
    if (labels := run.synthetic("labelled")) is None:
        return []
    kept, rejected = (labels.metrics[key] for key in ("kept", "rejected"))
    return [("Synthetic images kept", f"{kept:,}", f"of {kept + rejected:,} labelled")]
