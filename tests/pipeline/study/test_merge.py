"""Runs of single seeds, united, are the study of all seeds, figure by figure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_findings import findings_of, study_of, write_run
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.study.findings import Findings
from vesselforge.pipeline.study.merge import merge_runs
from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS, Results, read_results
from vesselforge.pipeline.study.study_sources import by_source

pytestmark = pytest.mark.slow

Build = Callable[..., StudyConfig]


def merged(tmp_path: Path, *given: str, name: str = "all") -> Results:
    made = merge_runs(name, given, tmp_path / "workspace")
    return read_results(Path(made["run"]) / RESULTS)


def figures(results: Results) -> dict[str, Any]:
    """Everything but how the run came about."""
    found = results.model_dump()
    return {k: v for k, v in found.items() if k not in ("name", "notes")}


def per_image(tmp_path: Path, name: str) -> str:
    return (tmp_path / "workspace" / "runs" / name / PER_IMAGE).read_text()


def test_two_runs_of_a_seed_each_are_the_study_of_both(part: Any, tmp_path: Path) -> None:
    whole = part("whole", [0, 1])
    part("a", [0])
    part("b", [1])

    both = merged(tmp_path, "b", "a")  # in whichever order

    assert figures(both) == figures(whole)
    assert both.seeds == [0, 1] and both.notes[0] == "Merged from b (seeds 1), a (seeds 0)."
    assert per_image(tmp_path, "all") == per_image(tmp_path, "whole")


def test_a_merged_cross_validation_is_one(part: Any, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        part(name, [seed], lambda found: replace(found, folds=[5, 6]))
    assert merged(tmp_path, "a", "b").folds == [5, 6]


def test_merging_can_go_on_and_be_repeated(part: Any, tmp_path: Path) -> None:
    whole = part("whole", [0, 1, 10])
    for name, seeds in (("a", [0]), ("b", [1]), ("c", [10])):
        part(name, seeds)

    merged(tmp_path, "a", "b", name="two")
    assert figures(merged(tmp_path, "two", "c")) == figures(whole)
    assert figures(merged(tmp_path, "a", "b", "c")) == figures(whole)


def test_folders_from_elsewhere_need_no_workspace(part: Any, tmp_path: Path) -> None:
    whole = part("whole", [0, 1])
    for name, seed in (("a", 0), ("b", 1)):
        part(name, [seed])
        source = tmp_path / "workspace" / "runs" / name
        (source / "run.json").unlink()
        shutil.move(source, tmp_path / "from" / name)

    both = merged(tmp_path, str(tmp_path / "from" / "a"), str(tmp_path / "from" / "b"))

    assert figures(both) == figures(whole)
    record = json.loads((tmp_path / "workspace/runs/all/run.json").read_text())
    assert (record["status"], record["flow"]) == ("completed", "compare-ratios")
    assert record["merged"] == ["a", "b"] and record["config"]["arms"]["seeds"] == [0, 1]
    pictures = (tmp_path / "workspace/runs/all").glob("*.png")
    assert {p.name: p.read_text() for p in pictures} == {
        "samples-gan.png": "a",
        "nearest-gan.png": "a",
    }


def test_a_seed_in_two_runs_is_refused(part: Any, tmp_path: Path) -> None:
    part("a", [0, 1])
    part("b", [1])
    with pytest.raises(WorkspaceError, match=r"runs/b: found seed 1 of arm R0: .*runs/a has, too"):
        merged(tmp_path, "a", "b")
    assert not (tmp_path / "workspace" / "runs" / "all").exists()


def test_a_run_that_failed_counts_where_it_was_completed(
    part: Any, tiny_study: Build, tmp_path: Path
) -> None:
    whole = part("whole", [0, 1])
    names = ["R0", "R1", "R1-long", "R2", "P", "P-first", "G", ""]
    failed = {name: [1] for name in names} | {"R2": [0, 1]}
    config = study_of(tiny_study, [0, 1], name="a", arms={"real_images": [4]})
    write_run(tmp_path / "workspace", config, findings_of(config, failed))
    part("b", [1])

    both = merged(tmp_path, "a", "b")

    status = {(a.name, r.seed): r.status for a in both.arms for r in a.runs}
    assert {key for key, value in status.items() if value == "failed"} == {("R2", 0)}
    by_seed = [
        [(e.place, e.by_seed) for a in r.arms if a.name == "P" for e in (*a.effects, *a.controls)]
        for r in (whole, both)
    ]
    assert by_seed[0] == by_seed[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": {"steps": 3}}, r"student\.steps: found 3, expected 2 as in"),
        ({"statistics": {"alpha": 0.01}}, r"statistics\.alpha: found 0\.01, expected 0\.05"),
        ({"external": [{"name": "stare", "fold": 1}, {"name": "chase-db1"}]}, r"external: found"),
        ({"arms": {"controls": []}}, r"arms\.controls: found \[\], expected \['R1'\]"),
    ],
)
def test_runs_of_different_studies_are_refused(
    changes: dict[str, Any], message: str, part: Any, tmp_path: Path
) -> None:
    part("a", [0])
    part("b", [1], **changes)
    with pytest.raises(WorkspaceError, match=message):
        merged(tmp_path, "a", "b")


def test_where_it_ran_is_no_difference_but_other_images_are(part: Any, tmp_path: Path) -> None:
    part("a", [0])
    part("b", [1], execution={"workers": 7}, data={"root": "/elsewhere"})
    merged(tmp_path, "a", "b")

    def others(found: Findings) -> Findings:
        found.content["stare"] = "changed"
        return found

    part("c", [2], others)
    with pytest.raises(WorkspaceError, match="the files of stare are not those of"):
        merged(tmp_path, "a", "c")


def test_what_each_place_made_anew_is_kept_and_said(part: Any, tmp_path: Path) -> None:
    def shared(found: Findings) -> Findings:
        synthetic = [
            s.model_copy(update={"origin": s.origin.split(",")[0]}) for s in found.synthetic
        ]
        return Findings(**{**vars(found), "synthetic": synthetic})

    part("a", [0], shared)
    part("b", [1], shared)
    both = merged(tmp_path, "a", "b")
    assert [s.origin for s in both.synthetic] == ["fitted", "fitted (b)", "gan", "gan (b)"]
    assert both.notes[1].startswith("Made anew by run b, with another result: fitted; gan.")


def test_what_sources_gave_is_pooled_over_the_seeds_of_all_places(
    part: Any, tmp_path: Path
) -> None:
    def fog(found: Findings) -> Findings:
        found.synthetic[:] = [s.model_copy(update={"in_range": s.seed}) for s in found.synthetic]
        return found

    part("a", [0, 2], fog)
    part("b", [1], fog)

    both = merged(tmp_path, "b", "a")

    gan = next(source for source in by_source(both.synthetic) if source.name == "gan")
    assert [one.seed for one in gan.given] == [0, 1, 2]
    assert gan.kid == "a hint"  # 0.09, 0.23 and 0.38 above the floor, each ± 0.2
    assert [note.partition(" (their")[0] for note in both.notes if note.startswith("Source")] == [
        f"Source {name}: The synthetic images show no vessels: 3 of 153 pass"
        for name in ("fitted", "gan")
    ]


def test_pictures_are_those_of_the_first_place_that_has_them(part: Any, tmp_path: Path) -> None:
    for name, seeds in (("a", [0]), ("b", [1]), ("c", [2])):
        part(name, seeds)
    runs = tmp_path / "workspace" / "runs"
    (runs / "a" / "samples-gan.png").unlink()

    both = merged(tmp_path, "a", "b", "c")

    assert [(s.source, s.picture) for s in both.samples] == [
        ("gan", "samples-gan.png"),
        ("rest", ""),
    ]
    for name in ("samples-gan.png", "nearest-gan.png"):  # of one run, and so of the same images
        assert (runs / "all" / name).read_text() == "b"
    (runs / "all" / "samples-old.png").touch()
    merged(tmp_path, "c", "b")
    assert [p.name for p in (runs / "all").glob("samples-*")] == ["samples-gan.png"]
    assert (runs / "all" / "samples-gan.png").read_text() == "c"


def test_a_picture_is_never_looked_for_elsewhere(part: Any, tmp_path: Path) -> None:
    part("a", [0])
    part("b", [1])
    path = tmp_path / "workspace" / "runs" / "b" / RESULTS
    for name in ("config.yaml", "samples-../x.png", "/etc/samples-x.png"):
        path.write_text(path.read_text().replace("samples-gan.png", name))
        with pytest.raises(WorkspaceError, match=r"b/results\.json: samples\.0\.picture"):
            merged(tmp_path, "a", "b")
        path.write_text(path.read_text().replace(name, "samples-gan.png"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda text: text.replace("0.8", "much", 1), r"per_image\.csv: found could not convert"),
        (lambda text: text[: len(text) * 2 // 3].rsplit("\n", 1)[0] + "\n", "expected the .* of"),
        (lambda text: text[:-20], r"per_image\.csv: found line \d+ cut off"),
        (lambda text: text.replace("cldice", "dice", 1), "found no column cldice"),
        (lambda text: "", "found no column arm"),
    ],
)
def test_damaged_tables_are_refused(harm: Any, message: str, part: Any, tmp_path: Path) -> None:
    part("a", [0])
    part("b", [1])
    path = tmp_path / "workspace" / "runs" / "b" / PER_IMAGE
    path.write_text(harm(path.read_text()))
    with pytest.raises(WorkspaceError, match=message):
        merged(tmp_path, "a", "b")


def test_names_and_folders_that_cannot_be_are_refused(part: Any, tmp_path: Path) -> None:
    part("a", [0])
    part("b", [1])
    workspace = tmp_path / "workspace"
    with pytest.raises(WorkspaceError, match="found one run, expected two or more"):
        merge_runs("all", ["a"], workspace)
    with pytest.raises(WorkspaceError, match=r"nowhere: no such run, by name or as a folder"):
        merge_runs("all", ["a", "nowhere"], workspace)
    with pytest.raises(ConfigError, match=r"merge \.\./x: name"):
        merge_runs("../x", ["a", "b"], workspace)
    with pytest.raises(WorkspaceError, match="runs/b: found a run of that name"):
        merge_runs("b", ["a", "b"], workspace)
    record = json.loads((workspace / "runs/a/run.json").read_text())
    (workspace / "runs/a/run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    with pytest.raises(WorkspaceError, match="runs/a: this run is interrupted"):
        merge_runs("all", ["a", "b"], workspace)
    assert sorted(p.name for p in (workspace / "runs").iterdir()) == ["a", "b"]


def test_the_verb_prints_the_tables_and_the_answer(part: Any, tmp_path: Path) -> None:
    part("a", [0])
    part("b", [1])
    command = ["merge", "all", "a", "b", "--workspace", str(tmp_path / "workspace")]

    said = CliRunner().invoke(main, command)

    assert said.exit_code == 0, said.output
    results = read_results(tmp_path / "workspace/runs/all" / RESULTS)
    assert results.headline in said.output and "Arms on " in said.output
    assert "note: Merged from a (seeds 0), b (seeds 1)." in said.output
    refused = CliRunner().invoke(main, [*command[:2], "a", "--workspace", command[-1]])
    assert refused.exit_code == 2 and "error: merge all: found one run" in refused.output
