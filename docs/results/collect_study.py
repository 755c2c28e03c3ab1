"""Collect what may be published of a study: collect_study.py RUN_FOLDER TARGET_FOLDER.

Figures, tables, numbers and synthetic images; never a picture of a training image beside a sample,
for those belong to the owners of the dataset (they are in the run's own report).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS, Results
from vesselforge.report.charts import GRID, INK, MUTED, PAGE, SERIES
from vesselforge.report.page import Figure
from vesselforge.report.study import arm_names as on
from vesselforge.report.study.arm_tables import arm_table
from vesselforge.report.study.source_tables import memory_table, source_table
from vesselforge.report.study.study_charts import differences, dose_chart, learning_chart

COLOURS = {"ink": INK, "muted": MUTED, "line": GRID, "page": PAGE}
COLOURS |= {f"c{slot}": colour for slot, colour in enumerate(SERIES)}
FONT = '<svg font-family="DejaVu Sans, Arial, sans-serif" '
PAPER = '><rect width="100%" height="100%" fill="#fff"/>'
"""Under dark ink, on dark pages, too."""


def collect(run: Path, target: Path) -> None:
    """Write results.json, per_image.csv, steps.json, tables.md, pictures of each source's samples
    and the figures as SVG."""
    results = Results.model_validate_json((run / RESULTS).read_text())
    target.mkdir(parents=True, exist_ok=True)
    public = results.model_dump(mode="json")
    (target / RESULTS).write_text(json.dumps(public, indent=1, sort_keys=True) + "\n")
    shutil.copyfile(run / PER_IMAGE, target / PER_IMAGE)
    for samples in results.samples:
        if samples.picture and (run / samples.picture).is_file():  # merged studies have none
            shutil.copyfile(run / samples.picture, target / samples.picture)
    record = json.loads((run / "run.json").read_text())
    steps = sorted(record["steps"], key=lambda step: step["step"])
    (target / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")
    (target / "tables.md").write_text(tables(results))
    for name, figure in figures(results).items():
        if figure is not None:
            (target / f"{name}.svg").write_text(standalone(figure))


def figures(results: Results) -> dict[str, Figure | None]:
    """File name → chart of the page; the curves over counts on the primary place alone."""
    found: dict[str, Figure | None] = {}
    for number, endpoint in enumerate(results.endpoints if results.declared else []):
        for real in on.sizes(results):
            found[f"finding-{number}-{real}"] = differences(alone(results), endpoint.place, real)
    for place in on.places(results):
        name = f"{place.set}-{place.observer}"
        found[f"learning-{name}"] = learning_chart(results, place)
        for real in on.sizes(results):
            found[f"forest-{name}-{real}"] = differences(results, place, real)
            if place == results.primary:
                found[f"difference-{name}-{real}"] = dose_chart(results, place, real)
    return found


def alone(results: Results) -> Results:
    """Every arm of equal steps that is compared with the real-only arm of the primary ones, with
    nothing else."""
    control = {arm.baseline for arm in results.arms if arm.id in results.primary_arms}
    arms = [arm for arm in results.arms if arm.longer == 1 and arm.baseline in control]
    only = [arm.model_copy(update={"controls": []}) for arm in arms]
    return results.model_copy(update={"arms": only})


def tables(results: Results) -> str:
    """Every place's table of arms, and those of the sources, as Markdown."""
    named = {on.place_name(place): arm_table(results, place) for place in on.places(results)}
    named |= {"Sources": source_table(results), "Memorisation": memory_table(results)}
    parts = []
    for name, table in named.items():
        lines = [table.head, ["---"] * len(table.head), *table.rows]
        body = "\n".join("| " + " | ".join(row) + " |" for row in lines)
        parts.append(f"### {name}\n\n{body}\n")
    return "\n".join(parts)


def standalone(figure: Figure) -> str:
    """The plot without a page around it: its colours and font are its own."""
    svg = str(figure.svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(f"var(--{name})", colour)
    if "xmlns=" not in svg.split(">", 1)[0]:
        svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg.replace("<svg ", FONT, 1).replace(">", PAPER, 1) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/results/collect_study.py RUN_FOLDER TARGET_FOLDER")
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
