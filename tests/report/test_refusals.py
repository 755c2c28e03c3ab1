"""What makes scores worthless stands beside them: samples without vessels, a generator or a model
that learnt nothing, a KID that cannot tell, a run of which nothing was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_files import put
from fake_run import FakeRun
from page_reader import Page, page_of

from vesselforge.pipeline.models.score_rows import NOT_BETTER

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bare_charts")]


def verdict_of(page: Page) -> str:
    return page.text.split("VesselForge run “fake”")[1].strip().split("\n")[0]


def test_samples_without_vessels_are_in_the_headline_and_beside_every_score(
    tmp_path: Path,
) -> None:
    page = page_of(FakeRun(tmp_path, in_range=(0.0, 0.0)).build())
    assert page.faults == []
    first = "The synthetic images show no vessels. The student scored higher in this one run"
    assert verdict_of(page) == first
    sentence = "no vessels: 0 of 24 pass (their vessel maps are in the range of real ones); what a"
    assert page.text.count(sentence) == 1
    assert page.text.index(sentence) < page.text.index("F1, teacher")  # above all scores
    few = page_of(FakeRun(tmp_path / "few", in_range=(2 / 24, 0.5)).build())
    assert "Hardly any of the synthetic images show vessels: 2 of 24 pass" in few.text


def test_samples_that_show_vessels_are_not_remarked_upon(tmp_path: Path) -> None:
    page = page_of(FakeRun(tmp_path, in_range=(0.9, 0.95)).build())
    assert "of the synthetic images show vessels" not in page.text
    assert "show no vessels" not in page.text and "untrained" not in page.text.lower().replace(
        "by the untrained vgg", ""
    )
    assert NOT_BETTER not in page.text


def test_what_folds_have_in_common_is_said_once(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, kimg=0.25).build()
    made = run.record["artifacts"]
    run.record["artifacts"] = {"evaluation": made["evaluation"]}
    for fold, passed in enumerate((1, 0, 1)):
        metrics = {"kept": 60, "rejected": 0, "drawn": 60, "in_range": {"all": passed / 60}}
        labelled = put(run.store, "segmenter.pseudo-label", f"labels of {fold}", {}, metrics)
        of_fold = {"labelled": labelled} | {role: made[role] for role in ("samples", "generator")}
        run.record["artifacts"] |= {f"fold-{fold}/{role}": of_fold[role] for role in of_fold}
    (run.folder / "run.json").write_text(json.dumps(run.record))
    page = page_of(run)
    assert page.faults == []
    said = "Fold 0 (and like it in folds 1, 2): The synthetic images show no vessels: 1 of 60 pass"
    assert said in page.text and page.text.count("of 60 pass") == 1
    assert page.text.count("Fold 0 (and like it in folds 1, 2): The generator is untrained") == 1


def test_real_images_are_not_judged(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, in_range=(0.0, 0.0)).build()
    run.record["artifacts"]["samples"] = run.record["artifacts"]["development"]
    (run.folder / "run.json").write_text(json.dumps(run.record))
    assert "show no vessels" not in page_of(run).text


def test_an_untrained_generator_and_a_kid_that_cannot_tell_are_named(tmp_path: Path) -> None:
    page = page_of(FakeRun(tmp_path, kimg=0.25, kid_std=0.2).build())
    assert page.faults == []
    assert "The generator is untrained: its weights saw 0.25 kimg." in page.text
    assert "KID cannot tell whether the samples are like real images" in page.text
    assert "no clear difference" not in page.text


def test_a_model_no_better_than_marking_every_pixel_is_marked(tmp_path: Path) -> None:
    page = page_of(FakeRun(tmp_path, skill={"teacher": 0.8, "student": 0.02}).build())
    assert page.faults == []
    names = [row[0] for row in page.table("Inside the field of view: all test pixels")]
    assert {"teacher", f"student ({NOT_BETTER})"} <= set(names)
    assert f"student: {NOT_BETTER} as vessel, which has an F1 of 0." in page.text
    assert page.text.count(NOT_BETTER) >= 5  # tables of both regions, tile, headline


def test_a_run_whose_images_were_all_rejected_shows_its_teacher(tmp_path: Path) -> None:
    gone = ("pretrained", "student", "ensemble")
    run = FakeRun(tmp_path, skill={"teacher": 0.8}, status="partly failed", missing=gone).build()
    record: dict[str, Any] = run.record | {"message": "all 24 synthetic images were rejected"}
    (run.folder / "run.json").write_text(json.dumps(record))
    page = page_of(run)
    assert page.faults == []
    assert verdict_of(page) == "No student: every synthetic image was rejected"
    assert "Partly failed: all 24 synthetic images were rejected" in page.text
    assert "teacher 0." in page.text
    assert page.table("Inside the field of view: all test pixels")[1][0] == "teacher"
    assert page.table("Why images were rejected")
