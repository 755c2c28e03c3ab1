"""Quoted tables against the identity they must obey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import rates
from vesselforge.segmenter.metrics.consistency import (
    Range,
    check_row,
    check_table,
    derived_from,
    implied_share,
    read_cell,
)

DRIVE = {"whole": 0.087578, "fov": 0.1273}
CHASE = {"all 28": 0.0693, "last 8": 0.06302}
COUNT = st.integers(1, 5000)


def quoted(digits: int = 4, **values: float) -> dict[str, Range]:
    return {name: Range.printed(round(value, digits), digits) for name, value in values.items()}


@settings(max_examples=150, deadline=None)
@given(tp=COUNT, fp=COUNT, fn=COUNT, tn=COUNT, digits=st.integers(3, 6))
def test_numbers_of_one_confusion_matrix_are_never_accused(
    tp: int, fp: int, fn: int, tn: int, digits: int
) -> None:
    found = rates({"tp": tp, "fp": fp, "fn": fn, "tn": tn})
    share = (tp + fn) / (tp + fp + fn + tn)
    derived = derived_from(found["se"], found["sp"], share)
    for name, value in derived.items():
        assert value == pytest.approx(found[name], abs=1e-9), name
    names = ("se", "sp", "acc", "precision", "f1", "mcc")
    row = quoted(digits, **{name: float(found[name]) for name in names})
    verdict = check_row(row, {"mine": share}, slack=0.0)
    implied = implied_share(row["se"], row["sp"], row["acc"])
    if np.isfinite(implied.value):
        assert verdict["fits"] == ["mine"]
        assert implied.low <= share <= implied.high
    assert verdict["problems"] == []


def test_published_rows_tell_which_pixels_were_counted() -> None:
    for se, sp, acc, f1, mcc in (
        (0.7677, 0.9857, 0.9666, 0.8012, 0.7839),
        (0.7883, 0.9845, 0.9673, 0.8085, 0.7909),
        (0.7978, 0.9860, 0.9695, 0.8208, 0.8045),
        (0.8246, 0.9832, 0.9694, 0.8254, 0.8087),
        (0.8212, 0.9840, 0.9698, 0.8263, 0.8097),
    ):  # SA-UNet's own table on DRIVE
        verdict = check_row(quoted(se=se, sp=sp, acc=acc, f1=f1, mcc=mcc), DRIVE)
        assert (verdict["fits"], verdict["near"]) == (["whole"], [])
        assert verdict["problems"] == []
        assert 0.0870 <= verdict["share"] <= 0.0877
    for se, sp, acc, f1, mcc in (
        (0.7842, 0.9861, 0.9733, 0.7875, 0.7733),
        (0.8573, 0.9835, 0.9755, 0.8153, 0.8033),
    ):  # and on CHASE_DB1: the last eight images
        verdict = check_row(quoted(se=se, sp=sp, acc=acc, f1=f1, mcc=mcc), CHASE, 0.002)
        assert (verdict["fits"], verdict["near"]) == (["last 8"], [])
        assert verdict["problems"] == []
    for se, sp, acc in ((0.7653, 0.9818, 0.9542), (0.7844, 0.9819, 0.9567)):  # Yan, MS-NFN
        verdict = check_row(quoted(se=se, sp=sp, acc=acc), DRIVE)
        assert (verdict["fits"], verdict["near"]) == (["fov"], [])


def test_means_over_images_are_near_and_not_accused() -> None:
    whole = quoted(5, se=0.83639, sp=0.98280, acc=0.96977, f1=0.82818, mcc=0.81273)
    inside = quoted(5, se=0.83671, sp=0.97387, acc=0.95611, f1=0.82837, mcc=0.80441)
    for row, name, gap in ((whole, "whole", 0.0014), (inside, "fov", 0.0022)):  # SA-UNetv2
        verdict = check_row(row, DRIVE)
        assert (verdict["fits"], verdict["near"]) == ([], [name])
        assert verdict["share"] - DRIVE[name] == pytest.approx(gap, abs=1e-4)
        assert verdict["problems"] == []
        strict = check_row(row, DRIVE, slack=0)
        assert any(problem.startswith("F1") for problem in strict["problems"])


SEED = {  # SE, SP, ACC, stated F1, PR; true F1; whether it is 2·PR·SP/(PR + SP)
    "SA-UNet": (0.853, 0.980, 0.969, 0.882, 0.802, 0.827, True),
    "Only synthesised data": (0.862, 0.977, 0.967, 0.870, 0.792, 0.826, False),
    "First result": (0.767, 0.991, 0.965, 0.938, 0.889, 0.824, True),
    "Best F1": (0.504, 0.998, 0.955, 0.983, 0.968, 0.663, True),
    "Ensemble": (0.729, 0.991, 0.968, 0.936, 0.734, 0.731, False),
    "Ensample-Sensativity": (0.888, 0.982, 0.968, 0.835, 0.734, 0.804, False),
}


@pytest.mark.parametrize("name", SEED)
def test_an_f1_with_specificity_for_sensitivity_is_named(name: str) -> None:
    se, sp, acc, f1, precision, true, swapped = SEED[name]
    row = quoted(3, se=se, sp=sp, acc=acc, f1=f1, precision=precision)
    wrong = [p for p in check_row(row, DRIVE)["problems"] if p.startswith("F1")]
    assert len(wrong) == 1
    assert f"give {true:.3f}"[:-1] in wrong[0]
    assert ("2·PR·SP/(PR + SP)" in wrong[0]) == swapped


def test_the_same_mistake_is_found_without_a_precision() -> None:
    row = quoted(3, se=0.504, sp=0.998, acc=0.955, f1=0.983)
    (problem,) = check_row(row, DRIVE)["problems"]
    assert "F1 0.983, but SE, SP and the vessel share give 0.661" in problem
    assert "specificity in place of sensitivity" in problem
    impossible = check_row(quoted(se=0.8, sp=0.97, acc=0.99), DRIVE)
    assert impossible["problems"] == ["no vessel share gives this accuracy with this SE and SP"]
    anything = implied_share(*[Range.printed(0.9)] * 3)
    assert np.isnan(anything.value)


def test_a_table_is_read_with_its_digits_and_told_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "\ufeffName,SE,Auc,SP,ACC,F1\nSA-UNet,0.8212,0.98,0.9840,0.9698,0.8263\n"
        ",,,,,\nYan,76.53,97.52,98.18%,95.42,\n"
    )
    sa_unet, yan = check_table(path, DRIVE)
    assert (sa_unet["name"], sa_unet["fits"], sa_unet["problems"]) == ("SA-UNet", ["whole"], [])
    assert (yan["fits"], yan["near"], yan["share"]) == (["fov"], [], 0.1275)
    assert read_cell("98.18%", "") == pytest.approx(Range.printed(0.9818, 4))
    assert read_cell("1.000", "") == Range.printed(1.0, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,se,sp\na,0.8,0.9\n", "no column acc"),
        ("name,se,sp,acc\na,0.8,n/a,0.9\n", r"line 2, column sp: found 'n/a'"),
        ("name,se,sp,acc\na,0.8,0.9\n", r"line 2, column acc: found ''"),
        ("name,se,sp,acc\na,0.8,980,0.9\n", "at most 1, or 100"),
        ("name,se,sp,acc\n", "no rows"),
        ("", "no column name, se, sp, acc"),
    ],
)
def test_a_bad_table_is_refused_by_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        check_table(path, DRIVE)
    with pytest.raises(DataError, match="no such file"):
        check_table(tmp_path / "absent.csv", DRIVE)
