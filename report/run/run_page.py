"""The page of a run."""

from __future__ import annotations

from typing import Any

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.score_rows import NOT_BETTER
from vesselforge.report.formatting import fixed, signed
from vesselforge.report.page import Note, Page, Tile
from vesselforge.report.record_sections import record_sections
from vesselforge.report.run.headline import headline
from vesselforge.report.run.quality import kid_tile, warnings_of
from vesselforge.report.run.run_reading import Run, open_run
from vesselforge.report.run.scored import Scores, paired, read_scores
from vesselforge.report.run.scores_section import score_sections
from vesselforge.report.run.synthetic_sections import synthetic_sections
from vesselforge.report.run.training_sections import dataset_section, training_section


def run_page(record: dict[str, Any], store: Store) -> Page:
    """Scores and pictures first, settings last."""
    run = open_run(record, store)
    scores = read_scores(run)
    first = headline(run, scores)
    artifacts = [view for _, view in run.named()]
    sections = [
        *score_sections(run, scores),
        *synthetic_sections(run),
        training_section(run),
        dataset_section(run),
        *record_sections(record, PipelineConfig, artifacts),
    ]
    notes = [Note("Read no score of these images without this", warnings_of(run.rounds))]
    tiles = [*(score_tiles(scores) if scores and scores.reference else []), *image_tiles(run)]
    return Page("run", record, *first[:2], tiles, first.caveats, sections, run.problems, notes)


def score_tiles(scores: Scores) -> list[Tile]:
    """F1 of everyone, and the paired difference."""
    found = []
    for name in scores.models:
        mean = scores.mean(name).get("f1")
        notes = [f"image mean {fixed(mean[0])}"] if mean else []
        notes += [NOT_BETTER] if name in scores.not_better else []
        value = fixed(scores.pooled(name).get("f1"))
        found.append((f"F1, {scores.title(name)}", value, "; ".join(notes)))
    pair = paired(scores)
    if pair is not None:
        note = f"95 %: {signed(pair.low)} to {signed(pair.high)}"
        found.append((f"{scores.student} − {scores.teacher}, image mean", signed(pair.mean), note))
    for name in scores.observers:
        note = f"against the {scores.reference} observer"
        found.append((f"F1, {name} observer", fixed(scores.pooled(name).get("f1")), note))
    return found


def image_tiles(run: Run) -> list[Tile]:
    """What became of the synthetic images."""
    found, labels = kid_tile(run.last_round), run.last_round.get("labelled")
    if labels is not None:
        kept, rejected = (labels.metrics[key] for key in ("kept", "rejected"))
        found.append(("Synthetic images kept", f"{kept:,}", f"of {kept + rejected:,} labelled"))
    return found
