"""The pages of runs that came out otherwise: no gain, no scores, several rounds, lost files."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from fake_run import FakeRun
from page_reader import Page, page_of

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.store import Store
from vesselforge.report.run.run_page import headline
from vesselforge.report.run.run_reading import open_run, read_scores
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow

WORSE = {"teacher": 0.85, "student": 0.82, "ensemble": 0.84}


@pytest.mark.usefixtures("bare_charts")
def test_a_worse_student_is_no_gain(tmp_path: Path) -> None:
    page = page_of(FakeRun(tmp_path, skill=WORSE).build())
    assert "No gain shown" in page.text
    assert "scored higher" not in page.text
    assert re.search(r"a difference of −0\.\d{4}\.", page.text)


def test_a_gain_within_the_noise_is_no_gain(tmp_path: Path) -> None:
    run = FakeRun(tmp_path).build()
    kind, digest = run.record["artifacts"]["evaluation"]
    folder = run.store.folder(kind, digest)
    text = (folder / "per_image.csv").read_text()
    noisy, sign = [], 1
    for line in text.splitlines():
        cells = line.split(",")
        if cells[0] == "student" and cells[2] == "fov":
            cells[3], sign = str(0.8 + 0.05 * sign), -sign
        noisy.append(",".join(cells))
    replace(folder, "per_image.csv", "\n".join(noisy).encode())
    seen = open_run(run.record, run.store)
    assert headline(seen, read_scores(seen))[0] == "No gain shown beyond chance"


def test_a_gain_on_two_images_is_no_claim(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, ids=("01", "02")).build()
    seen = open_run(run.record, run.store)
    assert headline(seen, read_scores(seen))[0] == "Too few test images to show a gain"


def replace(folder: Path, name: str, content: bytes) -> None:
    """Change a file of an artifact together with its manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_warnings_about_the_images_stand_before_the_scores(tmp_path: Path) -> None:
    line = "drive: 3 warnings, the first: masks/<b>1.png: odd; `vesselforge data check drive` lists"
    run = FakeRun(tmp_path, warned=(line,)).build()
    text = page_of(run).text
    assert line in text and text.index(line) < text.index("F1, teacher")
    assert "Warnings about the real images" in text
    record = run.record | {"warned": 5}  # written by something else
    (run.folder / "run.json").write_text(json.dumps(record))
    assert "Warnings about the real images" not in page_of(run).text


@pytest.mark.usefixtures("bare_charts")
def test_a_failed_run_shows_what_exists(tmp_path: Path) -> None:
    gone = ("samples", "score", "labelled", "pretrained", "student", "ensemble", "evaluation")
    page = page_of(FakeRun(tmp_path, status="failed", missing=gone).build())
    assert page.faults == []
    assert "No test scores" in page.text
    assert "Status failed: generator: loss is no longer a number" in page.text
    for said in (
        "have not been scored on the test images",
        "samples have not been scored",
        "No synthetic image has a label yet",
    ):
        assert said in page.text
    assert page.table("Chosen on the validation images")[1][0] == "teacher"


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "young"
    folder.mkdir(parents=True)
    record = {"name": "young", "status": "running", "artifacts": {}, "config": {}, "steps": []}
    (folder / "run.json").write_text(json.dumps(record))
    page = Page(report_on(folder, Store(tmp_path)).read_text())
    assert page.faults == []
    assert "No generator has been trained yet" in page.text


@pytest.mark.usefixtures("bare_charts")
def test_test_images_without_labels_are_shown_not_scored(tmp_path: Path) -> None:
    page = page_of(FakeRun(tmp_path, reference=False).build())
    assert page.faults == []
    assert "Not scored: the test images have no manual labels" in page.text
    assert "DRIVE's official test package has no labels." in page.text
    assert not any("all test pixels" in (a.get("aria-label") or "") for _, a in page.elements)
    predictions = [
        a["alt"] for t, a in page.elements if t == "img" and "probability" in str(a["alt"])
    ]
    assert len(predictions) == 3 * 4


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>$x_{'
    run = FakeRun(
        tmp_path, ids=(evil, "02", "03"), skill={"teacher": 0.8, "<b>student": 0.8}
    ).build()
    record = run.record | {"name": evil, "message": "</p><img src=x onerror=alert(1)>"}
    (run.folder / "run.json").write_text(json.dumps(record))
    page = page_of(run)
    assert page.faults == []
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [a for tag, a in page.elements if tag == "b" or "onerror" in a]
    assert evil in page.text


@pytest.mark.usefixtures("bare_charts")
@pytest.mark.parametrize(("second", "kept"), [(0.78, 1), (0.80, 2)])
def test_several_rounds_are_told_apart(tmp_path: Path, second: float, kept: int) -> None:
    skill = {"teacher": 0.8, "student": 0.84, "student-2": 0.9, "ensemble": 0.85}
    if kept == 1:
        del skill["student-2"]
    run = FakeRun(tmp_path, skill, f1=(0.79, second)).build()
    page = page_of(run)
    assert page.faults == []
    assert page.table("Rounds")[:3] == [
        ["Round", "Labels by", "Validation F1", "Kept"],
        ["1", "teacher", "0.7900", "yes"],
        ["2", "student", f"{second:.4f}", "yes" if kept == 2 else "no"],
    ]
    assert "rises by more than 0.001;" in page.text
    names = [row[0] for row in page.table("Chosen on the validation images")]
    assert names[1:6] == ["teacher", "pretrained", "student", "pretrained-2", "student-2"]
    opened = open_run(run.record, run.store)
    labelled = opened.synthetic("labelled")
    assert labelled is not None
    assert labelled.digest == run.record["artifacts"][["labelled", "labelled-2"][kept - 1]][1]
    scores = read_scores(opened)
    assert scores is not None and scores.student == ["student", "student-2"][kept - 1]


@pytest.mark.usefixtures("bare_charts")
def test_several_ensembles_are_told_apart_by_their_method(tmp_path: Path) -> None:
    skill = {"teacher": 0.8, "student": 0.82, "ensemble": 0.83, "ensemble-or": 0.84}
    skill["ensemble-majority"] = 0.81
    run = FakeRun(tmp_path, skill=skill, methods=("or", "majority")).build()
    page = page_of(run)
    assert page.faults == []
    names = ["teacher", "student", "ensemble", "ensemble (majority)", "ensemble (or)"]
    assert page.table("Inside the field of view: mean over")[0][1:6] == names
    shown = [row[0] for row in page.table("Chosen on the validation images")[1:]]
    assert shown[-3:] == ["ensemble", "ensemble (or)", "ensemble (majority)"]  # as made
    assert "ensemble 0.460" in page.text


@pytest.mark.usefixtures("bare_charts")
def test_a_damaged_file_and_a_lost_artifact_are_named_and_not_shown(tmp_path: Path) -> None:
    run = FakeRun(tmp_path).build()
    kind, digest = run.record["artifacts"]["evaluation"]
    (run.store.folder(kind, digest) / "curves.json").write_text("{}")
    lost = run.record["artifacts"]["teacher"]
    (run.store.folder(*lost) / "manifest.json").unlink()
    page = page_of(run)
    assert f"curves.json of {kind} {digest} differs from the SHA-256" in page.text
    assert "No curves." in page.text
    assert f"teacher: artifact {lost[0]} {lost[1]} is not in the store" in page.text


STEPS = '{"status": "completed", "config": {}, "artifacts": {}, "steps": [%s]}'


@pytest.mark.parametrize(
    "content",
    [None, "{", "[]", STEPS % '{"kind": "a", "digest": ["b"]}', STEPS % "3", STEPS % "{}"],
)
def test_a_folder_that_is_no_run_says_so(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(WorkspaceError, match=r"run\.json"):
        report_on(tmp_path, Store(tmp_path))
