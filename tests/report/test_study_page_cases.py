"""The pages of studies that lack something: seeds, results, arms, pictures, the study itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_study import PRIMARY, FakeStudy
from page_reader import page_of

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.store import Store
from vesselforge.pipeline.study.schema import SyntheticImages
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow


def small(folder: Path, **changes: object) -> FakeStudy:
    return FakeStudy(folder, counts=(50,), orders=("mixed",), places=(PRIMARY,), changes=changes)


@pytest.mark.usefixtures("bare_charts")
def test_a_source_without_a_verdict_has_none(tmp_path: Path) -> None:
    facts = {"source": "gan", "real_images": 2, "kept": 1, "reasons": {}, "drawn": 12_345}
    synthetic = [
        SyntheticImages(**facts, origin="0", seed=0, realism={"kid": 0.2}),
        SyntheticImages(**facts | {"drawn": 0}, origin="1", seed=1),
    ]
    head, *rows = page_of(small(tmp_path, synthetic=synthetic).build()).table("What each source")
    (gan,) = (dict(zip(head, row, strict=True)) for row in rows)
    assert (gan["KID"], gan["KID says"], gan["Floor"]) == ("0.2", "–", "–")
    assert (gan["Seeds"], gan["Drawn"], gan["Show vessels"]) == ("2", "12,345", "not compared")


def test_warnings_about_the_images_stand_before_the_scores(tmp_path: Path) -> None:
    lines = ["drive: 1 warning: a.png: odd; `vesselforge data check drive` lists all", "stare: …"]
    text = page_of(small(tmp_path, warned=lines).build()).text
    for line in lines:
        assert text.index("Warnings about the real images") < text.index(line)
        assert text.index(line) < text.index("Decided on")


@pytest.mark.usefixtures("bare_charts")
def test_a_cross_validation_says_that_its_scores_are_out_of_fold(tmp_path: Path) -> None:
    text = page_of(small(tmp_path / "one", folds=[5, 6, 6]).build()).text
    assert "out of fold (3 folds)" in text and "in each of 3 folds, of 5 to 6 training" in text
    assert "An image of a further dataset" not in text and "Within each fold: Seeds" in text
    study = FakeStudy(tmp_path / "two", counts=(50,), orders=("mixed",), changes={"folds": [5, 5]})
    text = page_of(study.build()).text
    assert "of 5 training images" in text and "An image of a further dataset" in text
    assert "out of fold" not in page_of(small(tmp_path / "none").build()).text


@pytest.mark.usefixtures("bare_charts")
def test_with_one_seed_nothing_is_called_tested(tmp_path: Path) -> None:
    page = page_of(FakeStudy(tmp_path, seeds=(0,), counts=(50,), orders=("mixed",)).build())
    assert "Only one seed: how much training runs differ by chance is unknown" in page.text
    assert "Nothing is tested with a single seed" in page.text
    assert "Smallest detectable effect" not in page.text
    row = dict(zip(*page.table("Arms on")[::2], strict=True))
    assert (row["Verdict"], row["p, Holm"], row["Detectable"]) == ("untested", "–", "–")
    assert row["Difference"].count("(") == 0


@pytest.mark.usefixtures("bare_charts")
def test_what_is_missing_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    study = small(tmp_path, synthetic=[], samples=[]).build()
    record = json.loads((study.folder / "run.json").read_text()) | {"config": {}, "steps": []}
    (study.folder / "run.json").write_text(json.dumps(record))
    page = page_of(study)
    assert page.faults == []
    assert set(page.missing) == {
        "No source gave any image.",
        "The samples have not been compared with the training images.",
        "run.json holds no settings.",
        "run.json lists no steps.",
    }


@pytest.mark.usefixtures("bare_charts")
def test_a_study_whose_arms_all_failed_still_has_a_page(tmp_path: Path) -> None:
    study = small(tmp_path)
    study.broken = "mixed-50-20"
    page = page_of(study.build())
    assert "3 of 6 trainings gave no result" in page.text
    assert "No arm could be compared with its real-only arm." in page.text


@pytest.mark.usefixtures("bare_charts")
def test_a_study_without_arms_still_has_a_page(tmp_path: Path) -> None:
    page = page_of(small(tmp_path, arms=[]).build())
    assert page.faults == []
    assert {"No arm has a result.", "No arms."} <= set(page.missing)


@pytest.mark.usefixtures("bare_charts")
@pytest.mark.parametrize("name", ["samples-gan.png", "nearest-gan.png"])
def test_pictures_that_cannot_be_shown_are_named(tmp_path: Path, name: str) -> None:
    study = small(tmp_path).build()
    (study.folder / name).write_bytes(b"no picture")
    assert f"{name} is no readable picture; it is not shown" in page_of(study).text
    (study.folder / name).unlink()
    assert f"{name} cannot be read, and is not shown" in page_of(study).text
    (study.folder / name).symlink_to(tmp_path.parent / "elsewhere.png")
    (tmp_path.parent / "elsewhere.png").write_bytes((study.folder / "run.json").read_bytes())
    assert f"{name} cannot be read, and is not shown" in page_of(study).text
    results = (study.folder / "results.json").read_text()
    (study.folder / "results.json").write_text(results.replace(name, f"../{name}"))
    with pytest.raises(WorkspaceError, match=r"results\.json: samples\.0\."):
        page_of(study)


def test_folders_that_hold_no_study_are_refused(tmp_path: Path) -> None:
    folder = small(tmp_path).build().folder
    (folder / "results.json").unlink()
    with pytest.raises(
        WorkspaceError, match=r"results\.json: cannot be read .*; expected the results"
    ):
        report_on(folder, Store(folder))
    (folder / "results.json").write_text('{"name": 3}')
    with pytest.raises(WorkspaceError, match=r"results\.json: name: .*run it again"):
        report_on(folder, Store(folder))
    assert not (folder / "report.html").exists()
