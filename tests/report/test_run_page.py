"""The report of made-up runs, judged by what a reader of the page would see."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_run import FakeRun
from page_reader import Page, page_of

from vesselforge.report.page import Table, Text
from vesselforge.report.run.quality import copied, measured
from vesselforge.report.run.run_reading import View
from vesselforge.report.run.synthetic_sections import label_blocks
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow

SECTIONS = (
    "scores", "overlays", "curves", "images", "generator", "labels", "training", "dataset",
    "provenance", "settings",
)  # fmt: skip


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
    assert text.count("Fold 1: ") == 1 and "Fold 0: " not in text  # whose images look right
    links = [a["href"][1:] for tag, a in page.elements if tag == "a"]
    assert tuple(links) == SECTIONS
