"""The page of made-up studies, judged by what a reader of it would see."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_study import HEADLINE, OTHER, PRIMARY, FakeStudy
from page_reader import Page, page_of

from vesselforge.engine.store import Store
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow

SECTIONS = (
    "differences", "sources", "dose", "arms", "copies", "provenance", "settings",
)  # fmt: skip

REAL, FIRST = "real only", "200 synthetic, synthetic-first"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    return FakeStudy(tmp_path_factory.mktemp("study")).build()


@pytest.fixture(scope="module")
def page(study: FakeStudy) -> Page:
    return page_of(study)


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A learning curve."""
    folder = tmp_path_factory.mktemp("curve")
    return page_of(
        FakeStudy(
            folder,
            counts=(50, 200),
            orders=("mixed",),
            sizes=(5, 20),
            places=(PRIMARY,),
        ).build()
    )


def test_a_complete_study_has_every_section_and_misses_nothing(page: Page) -> None:
    assert page.faults == []
    assert page.missing == []
    links = tuple(a["href"][1:] for tag, a in page.elements if tag == "a")
    assert links == SECTIONS  # scores and pictures first, settings last
    assert set(links) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_headline_is_one_line_and_the_statistics_stand_below_it(page: Page) -> None:
    line, lead = (
        "Gain in 2 and harm in 1 of 5 comparisons",
        HEADLINE.removeprefix("No gain shown: "),
    )
    assert f"<title>made-up: {line}" in page.html
    assert page.text.count(line) == page.text.count(lead) + 1 == 2  # in the title, too
    assert page.text.index(line) < page.text.index(lead) < page.text.index("Decided on")


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (name, value)
    assert "@import" not in page.html
    assert not re.findall(r"url\((?!#)", page.html)


def test_the_same_files_give_the_same_bytes(study: FakeStudy) -> None:
    first, again = (
        report_on(study.folder, Store(study.folder), force=True).read_bytes() for _ in range(2)
    )
    assert first == again


def test_the_table_of_arms_holds_the_numbers_of_the_results(study: FakeStudy, page: Page) -> None:
    results = json.loads((study.folder / "results.json").read_text())
    for place, where in ((PRIMARY, "DRIVE, 1st observer"), (OTHER, "chase, 2nd observer")):
        head, *rows = page.table(f"Arms on {where}")
        assert head[:6] == ["Arm", "Compared with", "Verdict", "F1", "Difference", "p, Holm"]
        by_label = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
        assert len(by_label) == len(results["arms"]) == 7
        arm = next(a for a in results["arms"] if a["label"] == FIRST)
        effect = next(e for e in arm["effects"] if e["place"] == place.model_dump())
        row = by_label[FIRST]
        assert row["Difference"].startswith(f"{effect['mean']:+.4f} (")
        assert row["F1"].startswith(f"{effect['level'][0]:.4f} (")
        assert (row["Verdict"], row["p, Holm"]) == ("gain", "0.000001 or less")
        assert row["Detectable"] == "0.0052"
        assert by_label["500 synthetic, synthetic-first"]["Verdict"] == "harm"
        assert by_label["50 synthetic, mixed"]["Verdict"] == "none shown"
        assert by_label["500 synthetic, mixed"]["Verdict"] == "no result"
        assert by_label[REAL]["Difference"] == "–"


def test_other_metrics_stand_beside_the_main_one(page: Page) -> None:
    head, *rows = page.table("Other metrics on DRIVE")
    name = "F1 at the best threshold"
    assert head == ["Arm", name, f"{name}, difference", f"{name}, p"]
    row = next(row for row in rows if row[0] == FIRST)
    assert row[1].startswith("0.8") and row[2].startswith("+0.00")
    assert next(row for row in rows if row[0] == REAL)[2] == "–"


def test_what_decides_and_other_arms_are_told_apart(tmp_path: Path) -> None:
    page = page_of(FakeStudy(tmp_path, declared=True).build())
    assert page.faults == [] and page.missing == []
    head, *rows = page.table("Arms on DRIVE")
    named = [dict(zip(head, row, strict=True)) for row in rows]
    pairs = {(row["Arm"].split(":")[0], row["Compared with"]): row for row in named}
    held = {("R1-long", "R1"), *((f"P{n}", "P0") for n in range(1, 5))}
    assert held <= pairs.keys() and {pairs[pair]["p, Holm"] for pair in held} == {"0.044"}
    assert {pairs[pair]["Family"] for pair in held} == {"secondary"}
    by_name = {name: row for (name, against), row in pairs.items() if (name, against) not in held}
    assert [by_name[n]["Family"] for n in ("R1", "P0", "P1", "P2")] == [
        *("–", "primary", "primary", "secondary"),
    ]
    assert by_name["P0"]["p, Holm"] == "0.033" and by_name["P0"]["Compared with"] == "R1"
    assert by_name["P5"]["Verdict"] == "no result"
    for where in WHERE:
        (forest,) = charts(page, f"{where}.", "Forest plot of")
        assert "P1 − P0 +0." in forest and "R1-long − R1" in forest
        assert ". P0 " in forest and "; P1 " in forest
    assert "Every arm but R1-long trains for the same 4,000 optimiser steps" in page.text
    assert "Labels of the synthetic images of P0 are what the teacher saw" in page.text
    assert "primary arms (P0, P1) on all endpoints (test drive; test chase)" in page.text


WHERE = ("DRIVE, 1st observer", "chase, 2nd observer")


def charts(page: Page, caption: str, start: str = "") -> list[str]:
    """What a screen reader says of the charts with that caption."""
    found = re.findall(
        r'aria-label="([^"]*)">\s*<svg.*?<figcaption>(.*?)</figcaption>', page.html, re.DOTALL
    )
    return [said for said, under in found if under == caption and said.startswith(start)]


def test_every_place_has_its_curves_and_its_forest(page: Page) -> None:
    plots = [a["aria-label"] or "" for tag, a in page.elements if a.get("role") == "group"]
    assert len(plots) == page.html.count("<svg")
    for where in WHERE:
        (forest,) = charts(page, f"{where}.", "Forest plot of F1, difference")
        assert forest.count(" to ") == 5  # six arms, one of which failed
        assert len(charts(page, f"{where}.", "F1 − real only over synthetic images")) == 1
    (dose,) = charts(page, "DRIVE, 1st observer.", "F1 − real only over synthetic images")
    assert re.search(r"mixed: \+?0\.00\d\d, 0\.00\d\d, no result", dose)


def test_what_intervals_are_is_said_once(page: Page) -> None:
    for said in ("two-level bootstrap", "Thresholds come from validation", "signed-rank test"):
        assert page.text.count(said) == 1


def test_failed_trainings_stand_before_everything_else(page: Page) -> None:
    note = page.text.index("3 of 21 trainings gave no result")
    assert note < page.text.index("Decided on")
    assert "500 synthetic, mixed, seeds 0, 1, 2: out of memory; lower batch" in page.text


def test_tables_can_be_sorted_and_names_are_not_taken_for_numbers(page: Page) -> None:
    tables = {a["aria-label"]: a for tag, a in page.elements if tag == "table"}
    for start in ("Arms on", "Other metrics"):
        label = next(label for label in tables if label.startswith(start))
        assert tables[label].get("class") == "sortable", label
    assert f'<th scope="row">{FIRST}</th>' in page.html


def test_samples_are_shown_beside_the_training_images_nearest_to_them(page: Page) -> None:
    images = [a for tag, a in page.elements if tag == "img"]
    (pairs,) = [a for a in images if "beside the training views nearest to them" in a["alt"]]
    assert pairs["src"].startswith("data:image/jpeg;base64,")
    assert "look at the pairs before you share samples" in page.text
    head, *rows = page.table("Synthetic images beside training images")
    assert head == ["Source", "Real", "Distance", "Suspicious", "Expected", "C_T"]
    assert rows[0] == ["gan", "20", "0.93", "1.2 %", "1 %", "−1.3"]
    assert [row[0] for row in rows] == ["gan", "fog"]


def test_every_source_says_what_it_gave(page: Page) -> None:
    head, *rows = page.table("What each source gave")
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert by_name["gan"] == {
        "Source": "gan",
        "Real": "20",
        "Seeds": "3",
        "Drawn": "1,800",
        "Kept": "1,476",
        "Rejected": "low confidence 240, no vessels 60, near copy 24",
        "In range": "1,620",
        "Show vessels": "enough",
        "KID": "0.0008 ± 0.0005",
        "Floor": "0.0004 ± 0.0002",
        "KID says": "cannot tell",
    }
    assert (by_name["fog"]["In range"], by_name["fog"]["Show vessels"]) == ("9", "none")
    rest = by_name["rest"]
    assert (rest["Show vessels"], rest["In range"]) == ("real images", "–")
    assert (rest["KID"], rest["Floor"], rest["KID says"], rest["Rejected"]) == ("–",) * 4
    warning = page.text.index("Source fog: The synthetic images show no vessels: 9 of 1,800 pass")
    assert warning < page.text.index("Decided on") and "Source gan: " not in page.text


def test_samples_of_the_sources_are_shown_but_no_real_images(page: Page) -> None:
    images = [a["alt"] for tag, a in page.elements if tag == "img"]
    (sheet,) = [alt for alt in images if alt.startswith("Images of source")]
    assert sheet.startswith("Images of source gan in a row, their vessel labels below")
    assert "the first 8 of 600" in page.text
    assert "rest is not shown: these are real images." in page.text


def test_a_learning_curve_has_the_most_synthetic_images_of_each_family(curve: Page) -> None:
    (text,) = charts(curve, "DRIVE, 1st observer.", "F1 over real training images")
    assert "real only: 0.7550, 0.8000" in text
    assert "mixed: 0.7640, 0.8090" in text  # those of 200
    assert "DRIVE, 1st observer, 5 real images" in curve.text
    head, *rows = curve.table("Arms on")
    assert {"Compared with", "Real"} <= set(head)
    assert len(rows) == 6
