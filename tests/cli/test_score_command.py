"""`segmenter score`, `check-table` and `evaluate --split` on a STARE of twenty tiny images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from metric_helpers import pooled, score
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.catalogue import STARE
from vesselforge.data.datasets import named_dataset
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.models.scoring import (
    Scorer,
    find_maps,
    items_of,
    labelled_items,
    read_map,
)

SIDE = 40
TEST_IDS = STARE[0]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """datasets/STARE, and maps/ of its four test images in four kinds of files and names."""
    folder = tmp_path_factory.mktemp("scoring")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    disc = np.hypot(x, y) < SIDE * 0.45
    for number, id_ in enumerate(i for fold in STARE for i in fold):
        vessels = (np.abs(x - 3 * y + number) < 4) & disc
        image = disc[..., None] * rng.integers(120, 200, (SIDE, SIDE, 3))
        stare = folder / "datasets" / "STARE"
        save(stare / "stare-images" / f"{id_}.ppm", image.astype(np.uint8))
        save(stare / "labels-ah" / f"{id_}.ah.ppm", vessels.astype(np.uint8) * 255)
        other = vessels ^ (disc & (rng.random((SIDE, SIDE)) < 0.1))
        save(stare / "labels-vk" / f"{id_}.vk.ppm", other.astype(np.uint8) * 255)
        if id_ in TEST_IDS:
            prob = np.clip(0.6 * vessels + 0.4 * rng.random((SIDE, SIDE)), 0, 1)
            kind = TEST_IDS.index(id_)
            name = [f"{id_}.png", f"{id_}_probability.tif", f"x-{id_}.png", f"{id_}.png"][kind]
            deep = (prob * 65535).astype(np.uint16)
            pixels = [(prob * 255).astype(np.uint8), deep, deep, (prob > 0.5).astype(np.uint8)]
            save(folder / "maps" / name.replace("_probability", ""), pixels[kind])
    return folder


@pytest.fixture(autouse=True)
def datasets(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESSELFORGE_DATA", str(room / "datasets"))


def told(*words: object) -> str:
    done = CliRunner().invoke(main, ["segmenter", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words: object) -> str:
    done = CliRunner().invoke(main, ["segmenter", *map(str, words)])
    assert done.exit_code == 2, done.output
    return done.stderr


def test_maps_and_observers_get_three_lines(room: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows" / "each.csv"
    words = ("score", room / "maps", "--dataset", "stare", "--threshold", 0.55)
    found = json.loads(told(*words, "--per-image", rows, "--json"))
    assert (found["images"], found["split"]) == (4, "test")
    lines = {(line["who"], line["against"]): line for line in found["scores"]}
    assert set(lines) == {("maps", "ah"), ("maps", "vk"), ("observer vk", "ah")}
    assert [line["threshold"] for line in found["scores"]] == [0.55, 0.55, None]
    items = [item for item in named_dataset("stare") if item.split == "test"]
    probs = [read_map(p, (SIDE, SIDE)) for p in find_maps(room / "maps", items)]
    assert {p.dtype.name for p in probs} == {"float32"}
    assert max(p.max() for p in probs) == 1.0
    fovs = [item.read_fov() for item in items]
    assert 0 < fovs[0].mean() < 1
    ah, vk = ([item.read_mask(name) for item in items] for name in ("ah", "vk"))
    human = [mask.astype(float) for mask in vk]
    cases = ((("maps", "ah"), probs, ah, 0.55), (("maps", "vk"), probs, vk, 0.55))
    for who, maps, truths, threshold in (*cases, (("observer vk", "ah"), human, ah, 0.5)):
        together = pooled(maps, truths, fovs, threshold)
        for name in ("f1", "acc", "mcc", "cldice"):
            assert lines[who]["fov"]["pooled"][name] == pytest.approx(together[name], abs=1e-6)
    each = list(csv.DictReader(rows.open()))
    assert len(each) == 3 * 2 * 4
    first = next(r for r in each if (r["against"], r["region"]) == ("vk", "whole"))
    assert first["id"] == items[0].id
    assert float(first["f1"]) == pytest.approx(score(probs[0], vk[0], None, 0.55)["f1"], abs=1e-6)
    text = told(*words)
    for word in ("maps against vk", "observer vk against ah", "whole image", "clDice, mean"):
        assert word in text


def test_a_human_alone_and_all_images(room: Path) -> None:
    words = ("score", "--dataset", "stare", "--observer", "vk", "--json")
    assert json.loads(told(*words))["images"] == 4
    found = json.loads(told(*words, "--split", "all"))
    assert found["images"] == 20
    (line,) = found["scores"]
    assert line["fov"]["pooled"]["auc"] is None
    scorer = Scorer("stare", "all", Progress())
    pixels = [item.read_mask("ah") for item in scorer.items]
    assert found["vessel_share"]["whole"] == pytest.approx(np.mean(pixels))
    inside = [item.read_mask("ah")[item.read_fov()] for item in scorer.items]
    assert found["vessel_share"]["fov"] == pytest.approx(np.mean(np.concatenate(inside)))


def test_evaluate_can_take_every_image(room: Path) -> None:
    for split, count in (("test", 4), ("all", 20)):
        assert len(items_of("stare", split)) == count
    assert "--split" in told("evaluate", "--help")


def test_a_folder_whose_names_need_a_pattern(tmp_path: Path) -> None:
    disc = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2)) < SIDE * 0.45
    for number in range(1, 4):
        vessels = np.zeros((SIDE, SIDE), bool)
        vessels[:, 5 * number : 5 * number + 3] = True
        image = np.repeat((disc * np.uint8(150 + number))[..., None], 3, axis=2)
        save(tmp_path / "set/photos" / f"photo_{number:03}_x.png", image)
        drawn = (vessels & disc).astype(np.uint8) * 255
        save(tmp_path / "set/labels" / f"{number:03}-by-me.png", drawn)
        save(tmp_path / "maps" / f"{number:03}.png", drawn)
    words = ("score", tmp_path / "maps", "--dataset", tmp_path / "set")
    assert "--pattern" in refused(*words)
    found = json.loads(told(*words, "--pattern", r"(?P<id>\d{3})", "--json"))
    assert found["images"] == 3
    assert found["scores"][0]["fov"]["pooled"]["f1"] == 1


def test_what_cannot_be_scored_is_refused_with_a_reason(room: Path, tmp_path: Path) -> None:
    assert "nothing to score" in refused("score", "--dataset", "stare")
    said = refused("score", "--dataset", "stare", "--observer", "2nd")
    assert "no observer '2nd'" in said
    assert "expected one of: vk" in said
    maps = tmp_path / "maps"
    maps.mkdir()
    for id_ in TEST_IDS[:3]:
        save(maps / f"{id_}.png", np.zeros((SIDE, SIDE), np.uint8))
    said = refused("score", maps, "--dataset", "stare")
    assert f"found 0 maps of image {TEST_IDS[3]!r}" in said
    save(maps / f"{TEST_IDS[3]}.png", np.zeros((SIDE, SIDE + 1), np.uint8))
    assert "found 41×40 pixels, expected 40×40" in refused("score", maps, "--dataset", "stare")
    colour = np.zeros((SIDE, SIDE, 3), np.uint8)
    colour[..., 0] = 9
    save(maps / f"{TEST_IDS[3]}.png", colour)
    assert "colour image" in refused("score", maps, "--dataset", "stare")
    save(maps / f"a-{TEST_IDS[0]}.png", colour)
    save(maps / f"b-{TEST_IDS[1]}.png", colour)
    (maps / f"{TEST_IDS[1]}.png").rename(maps / f"c-{TEST_IDS[1]}.png")
    said = refused("score", maps, "--dataset", "stare")  # an exact name wins over a longer one
    assert f"found 2 maps of image '{TEST_IDS[1]}'" in said


def test_of_what_predict_wrote_the_probability_is_scored(tmp_path: Path) -> None:
    for id_ in TEST_IDS:
        for kind in ("probability", "mask", "overlay"):
            save(tmp_path / f"{id_}_{kind}.png", np.zeros((2, 2), np.uint8))
    items = labelled_items("stare", "test")
    names = [path.name for path in find_maps(tmp_path, items)]
    assert names == [f"{item.id}_probability.png" for item in items]


def test_a_table_is_checked_against_given_and_measured_shares(tmp_path: Path) -> None:
    table = tmp_path / "quoted.csv"
    table.write_text(
        "name,se,sp,acc,f1\nSA-UNet,0.8212,0.9840,0.9698,0.8263\nbad,.504,.998,.955,.983\n"
    )
    shares = ("--share", "whole=0.087578", "--share", "fov=0.1273")
    found = json.loads(told("check-table", table, *shares, "--dataset", "stare", "--json"))
    assert found["shares"] == pytest.approx(Scorer("stare", "test", Progress()).shares())
    first, second = json.loads(told("check-table", table, *shares, "--json"))["rows"]
    assert (first["fits"], first["problems"]) == (["whole"], [])
    assert "specificity in place of sensitivity" in second["problems"][0]
    assert "specificity" in " ".join(told("check-table", table, *shares).split())
    assert "implied vessel share" in told("check-table", table)
    assert "expected NAME=VALUE" in refused("check-table", table, "--share", "fov=12")


def maps_of(room: Path, folder: Path, form: str) -> Path:
    """The reference itself as maps, its vessels written in one of several ways."""
    for id_ in TEST_IDS:
        mask = np.asarray(Image.open(room / f"datasets/STARE/labels-ah/{id_}.ah.ppm")) > 0
        kind, white = form.split("-")
        if kind == "palette":
            picture = Image.fromarray(mask.astype(np.uint8), mode="P")
            picture.putpalette([0, 0, 0, int(white), 0, 0])
            folder.mkdir(exist_ok=True)
            picture.save(folder / f"{id_}.png")
            continue
        drawn = mask.astype(kind) * np.dtype(kind).type(int(white.split("+")[0]))
        if "+" in white:
            drawn[:5, :5] = int(white.split("+")[1])
        save(folder / f"{id_}.png", drawn)
    return folder


FORMS = ("uint8-1", "uint8-255", "uint8-3", "uint16-1", "uint16-255", "uint16-65535", "palette-128")


@pytest.mark.parametrize("form", FORMS)
def test_masks_are_read_as_such_in_any_form(room: Path, tmp_path: Path, form: str) -> None:
    words = ("score", maps_of(room, tmp_path / "maps", form), "--dataset", "stare", "--json")
    line = json.loads(told(*words))["scores"][0]
    assert line["whole"]["pooled"]["f1"] == 1.0


@pytest.mark.parametrize("form", ["uint8-1+2", "uint8-1+255", "uint16-1+2"])
def test_labels_are_no_maps(room: Path, tmp_path: Path, form: str) -> None:
    said = refused("score", maps_of(room, tmp_path / "maps", form), "--dataset", "stare")
    assert f"{TEST_IDS[0]}.png: found 3 grey values in a map, 0 (" in said
    assert "expected probabilities" in said


def test_mask_values_are_given_on_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, id_ in enumerate("abc"):
        labels = (abs(x - y + 3 * number) < 3).astype(np.uint8)
        labels[30:36, 2:9] = 255
        save(tmp_path / f"set/masks/{id_}.png", labels)
        image = rng.integers(99, 200, (SIDE, SIDE, 3)).astype(np.uint8)
        save(tmp_path / f"set/images/{id_}.png", image)
        wrong = labels == 1
        wrong[30:36, 2:9] = True  # where nobody says what is there
        save(tmp_path / f"maps/{id_}.png", wrong.astype(np.uint8) * 255)
    words = ("score", tmp_path / "maps", "--dataset", tmp_path / "set", "--json")
    assert "found 3 grey values in a mask, 0 (" in refused(*words)
    meanings = ("--mask-values", "{0: background, 1: vessel, 255: ignore}")
    line = json.loads(told(*words, *meanings))["scores"][0]
    for region in ("fov", "whole"):
        assert line[region]["pooled"]["f1"] == line[region]["pooled"]["acc"] == 1.0
    meanings = ("--mask-values", "{0: background, 1: vessel, 255: vessel}")
    assert json.loads(told(*words, *meanings))["scores"][0]["whole"]["pooled"]["f1"] == 1.0
    said = refused(*words, "--mask-values", "{0: background, 1: vessel}")
    assert "does not say what it means" in said
    assert "--mask-values" in refused(*words, "--mask-values", "0=background")


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (lambda prob: np.rint(prob * 100), "no pixel reaches the threshold 0.5"),
        (lambda prob: 255 - np.rint(prob * 255), "are the maps inverted"),
        (lambda prob: np.rint(prob * 255), ""),
    ],
    ids=["percent", "inverted", "right"],
)
def test_maps_that_mean_something_else_are_asked_about(room, tmp_path, of, said) -> None:
    rng = np.random.default_rng(1)
    for item in named_dataset("stare").split("test"):
        noise = rng.random((SIDE, SIDE))
        prob = np.where(item.read_mask("ah"), 0.6 + 0.4 * noise, 0.4 * noise)
        save(tmp_path / f"{item.id}.png", of(prob).astype(np.uint8))
    done = CliRunner().invoke(main, ["segmenter", "score", str(tmp_path), "--dataset", "stare"])
    assert done.exit_code == 0, done.output
    assert (said in done.stderr) if said else ("warning" not in done.stderr)
