"""The report of made-up runs, judged by what a reader of the page would see."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_run import FakeRun
from page_reader import Page

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.store import Store
from vesselforge.report.page import Table, Text
from vesselforge.report.run.quality import copied, measured
from vesselforge.report.run.run_page import headline
from vesselforge.report.run.run_reading import View, open_run, read_scores
from vesselforge.report.run.synthetic_sections import label_blocks
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow

SECTIONS = (
    "scores", "overlays", "curves", "images", "generator", "labels", "training", "dataset",
    "provenance", "settings",
)  # fmt: skip
WORSE = {"teacher": 0.85, "student": 0.82, "ensemble": 0.84}


def page_of(run: FakeRun) -> Page:
    return Page(report_on(run.folder, run.store, force=True).read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    return FakeRun(tmp_path_factory.mktemp("good")).build()


@pytest.fixture(scope="module")
def page(run: FakeRun) -> Page:
    return page_of(run)


def metrics_of(run: FakeRun) -> dict:
    kind, digest = run.record["artifacts"]["evaluation"]
    return json.loads((run.store.folder(kind, digest) / "metrics.json").read_text())


def test_a_complete_run_has_every_section_and_misses_nothing(page: Page) -> None:
    assert page.faults == []
    links = [a["href"][1:] for tag, a in page.elements if tag == "a"]
    assert tuple(links) == SECTIONS  # scores and pictures first, settings last
    assert set(links) <= set(page.ids)
    assert not [a for _, a in page.elements if a.get("class") == "missing"]
    assert len(page.ids) == len(set(page.ids))


def test_the_page_needs_nothing_from_outside(run: FakeRun, page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (name, value)
    assert "@import" not in page.html
    assert not re.findall(r"url\((?!#)", page.html)
    assert (run.folder / "report.html").stat().st_size < 8_000_000


def test_every_picture_and_plot_has_words(page: Page) -> None:
    pictures = [a for tag, a in page.elements if tag == "img"]
    assert len(pictures) > 20
    assert all(a["alt"] and a["src"].startswith("data:image/jpeg;base64,") for a in pictures)
    plots = [a for tag, a in page.elements if tag == "figure" and a.get("role") == "group"]
    assert len(plots) == page.html.count("<svg") == 8
    assert all(a["aria-label"] for a in plots)


def test_no_text_of_a_chart_is_smaller_than_11_px(page: Page) -> None:
    sizes = {float(px) for px in re.findall(r"font-size: ([\d.]+)px", page.html)}
    assert min(sizes) >= 11
    widths = {box.split()[2] for box in re.findall(r'viewBox="([^"]*)"', page.html)}
    assert widths == {"360"} and "--least: 360px" in page.html  # shown no smaller than drawn


def test_numbers_in_the_tables_are_those_of_metrics_json(run: FakeRun, page: Page) -> None:
    metrics = metrics_of(run)
    for region, where in (("fov", "Inside the field of view"), ("whole", "Whole image")):
        head, *rows = page.table(f"{where}: all test pixels")
        shown = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
        assert list(shown) == [
            "teacher", "teacher against 2nd", "student", "student against 2nd", "ensemble",
            "ensemble against 2nd", "observer 2nd",
        ]  # fmt: skip
        models = metrics["models"]
        for title, key in (("F1", "f1"), ("SE", "se"), ("MCC", "mcc")):
            for model, scores in models.items():
                assert shown[model][title] == f"{scores[region]['pooled'][key]:.4f}"
                other = scores["against"]["2nd"][region]["pooled"][key]
                assert shown[f"{model} against 2nd"][title] == f"{other:.4f}"
            human = metrics["observers"]["2nd"][region]["pooled"][key]
            assert shown["observer 2nd"][title] == f"{human:.4f}"
        head, *rows = page.table(f"{where}: mean over")
        assert head == ["Mean", "teacher", "student", "ensemble", "2nd observer"]
        cells = {row[0]: row[2] for row in rows}
        mean, low, high = models["student"][region]["mean"]["f1"]
        assert cells["F1"] == f"{mean:.4f} ({low:.3f} to {high:.3f})"
        assert cells["loops"].endswith(" (40.000 to 58.250)")
        assert "clDice" not in cells  # null for everybody


def test_every_test_image_of_every_model_is_listed_and_sortable(page: Page) -> None:
    sortable = [a for tag, a in page.elements if tag == "table" and a.get("class") == "sortable"]
    names = [a["aria-label"] for a in sortable]
    assert names == ["Inside the field of view"]
    labels = [a["aria-label"] for tag, a in page.elements if tag == "table"]
    rows = page.tables[labels.index("Inside the field of view")][1:]
    assert len(rows) == 6 * 4
    assert {row[1] for row in rows} == {"teacher", "student", "ensemble", "observer 2nd"}


def test_the_headline_says_higher_only_with_its_caveat(page: Page, run: FakeRun) -> None:
    models = metrics_of(run)["models"]
    student, teacher = (models[m]["fov"]["pooled"]["f1"] for m in ("student", "teacher"))
    assert "The student scored higher in this one run" in page.text
    assert f"a difference of +{round(student, 4) - round(teacher, 4):.4f}." in page.text
    assert "one seed is no evidence" in page.text
    assert "a student of two phases trains longer than its teacher" in page.text


def test_the_quality_of_the_samples(page: Page) -> None:
    assert "KID is clearly above its floor" in page.text
    rows = {row[0]: row[1] for row in page.table("How good the samples are.")[1:]}
    assert rows == {
        "FID": "61.4",
        "KID": "0.0412",
        "KID, sd": "0.0051",
        "Precision": "0.81",
        "Recall": "0.32",
        "Density": "0.93",
        "Coverage": "0.55",
        "C_T": "−6.1",
        "Relative distance": "0.71",
    }
    assert "Suspicion of copying: 90.0 % of the samples" in page.text
    alts = [a.get("alt", "") for tag, a in page.elements if tag == "img"]
    assert any("training view nearest to each" in alt for alt in alts)


def test_few_samples_near_training_images_are_no_suspicion() -> None:
    figures = {"copy_ratio": 0.1, "copy_expected": 0.05, "copy_held_out_images": 4.0}
    figures["synthetic"] = 64
    assert copied(figures).startswith("No sign of copying: 10.0 % of the samples")
    assert copied(figures | {"copy_ratio": 0.5}).startswith("Suspicion of copying: 50.0 %")
    assert copied({"fid": 1.0}) == ""


def test_how_near_samples_come_to_training_images() -> None:
    figures: dict[str, Any] = {"kid_mean": 0.5, "kid_floor_mean": 0.25, "c_t": -5.25}
    table = measured(figures)
    assert [row[:3] for row in table.rows] == [["KID", "0.5", "0.25"], ["C_T", "−5.25", ""]]
    assert all(len(row[3]) > 20 for row in table.rows), "and how to read each"
    assert not measured({"features": "random"})


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


def test_labels_say_whose_they_are(run: FakeRun, page: Page, tmp_path: Path) -> None:
    assert "are what the teacher sees in them; they are no better than the teacher" in page.text
    for settings, said in (
        ({"labels": "own"}, "the masks that came with them; no teacher was asked."),
        ({"labels": "own", "turned_masks": True}, "as a negative control."),
        ({"labels": "agreement"}, "as far as the teacher agrees."),
    ):
        metrics = {"drawn": 3, "kept": 3, "mean_confidence": None}
        manifest = {"settings": settings, "metrics": metrics, "files": {}}
        blocks = [block for block in label_blocks(View(tmp_path, manifest, [])) if block]
        assert isinstance(blocks[0], Text) and blocks[0].content.endswith(said)
        facts = next(b for fold in blocks if fold.kind == "fold" for b in fold.content)
        assert isinstance(facts, Table) and ["mean confidence", "–"] in facts.rows


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "young"
    folder.mkdir(parents=True)
    record = {"name": "young", "status": "running", "artifacts": {}, "config": {}, "steps": []}
    (folder / "run.json").write_text(json.dumps(record))
    page = Page(report_on(folder, Store(tmp_path)).read_text())
    assert page.faults == []
    assert "No generator has been trained yet" in page.text


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


def test_the_same_files_give_the_same_bytes(run: FakeRun, page: Page) -> None:
    first = page.html.encode()
    assert report_on(run.folder, run.store, force=True).read_bytes() == first
    written = (run.folder / "report.html").stat().st_mtime_ns
    assert report_on(run.folder, run.store).stat().st_mtime_ns == written
    record = json.loads((run.folder / "run.json").read_text())
    record["config"]["name"] = "other"
    (run.folder / "run.json").write_text(json.dumps(record))
    assert report_on(run.folder, run.store).stat().st_mtime_ns != written
    assert not list(run.folder.glob(".*tmp"))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_that_is_no_run_says_so(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(WorkspaceError, match=r"run\.json"):
        report_on(tmp_path, Store(tmp_path))


@pytest.fixture
def folds(tmp_path: Path) -> FakeRun:
    """A cross-validation of two folds, alike but for what was rejected."""
    run = FakeRun(tmp_path).build()
    other = FakeRun(tmp_path / "other", in_range=(0.02, 0.01)).build()
    artifacts = dict(run.record["artifacts"])
    for kind, digest in other.record["artifacts"].values():
        target = run.store.folder(kind, f"{digest}x")
        shutil.copytree(other.store.folder(kind, digest), target)
        manifest = json.loads((target / "manifest.json").read_text())
        (target / "manifest.json").write_text(json.dumps(manifest | {"digest": f"{digest}x"}))
    roles = {f"fold-0/{role}": where for role, where in artifacts.items()}
    for role, (kind, digest) in other.record["artifacts"].items():
        roles[f"fold-1/{role}"] = [kind, f"{digest}x"]
    kind, digest = artifacts["evaluation"]
    whole = run.store.folder("segmenter.pool", "f" * 24)
    shutil.copytree(run.store.folder(kind, digest), whole)
    manifest = json.loads((whole / "manifest.json").read_text())
    del manifest["files"]["curves.json"]
    manifest |= {"kind": "segmenter.pool", "digest": "f" * 24}
    manifest["metrics"] |= {"folds": 2}
    for scores in manifest["metrics"]["models"].values():
        scores.pop("threshold")
        scores["fov"]["pooled"]["auc"] = scores["whole"]["pooled"]["auc"] = None
    (whole / "manifest.json").write_text(json.dumps(manifest))
    run.record["artifacts"] = roles | {"evaluation": ["segmenter.pool", "f" * 24]}
    (run.folder / "run.json").write_text(json.dumps(run.record))
    return run


def test_a_cross_validation_is_one_page(folds: FakeRun) -> None:
    page = page_of(folds)
    assert page.faults == []
    text = page.text
    assert "each scored once, by the models of the fold (2) that tested it" in text
    assert "Each fold has thresholds of its own" in text
    assert "are not pooled over folds" in text
    assert "share most of their training images" in text
    for fold in ("fold-0", "fold-1"):
        assert f"{fold}/teacher" in text and f"{fold}/student" in text
    assert text.count("Fold-1: ") == 1 and "Fold-0: " not in text  # whose images look right
    links = [a["href"][1:] for tag, a in page.elements if tag == "a"]
    assert tuple(links) == SECTIONS
