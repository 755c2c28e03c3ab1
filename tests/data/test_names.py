"""Names in any script: what belongs together is found, and what cannot be written is named."""

from __future__ import annotations

import json
import os
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_paired

from vesselforge.configs.errors import DataError, WorkspaceError
from vesselforge.configs.settings import DataSettings, PrepareSettings
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.data.formats.archives import unpack
from vesselforge.data.imageset import load_image, read_index
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.intake import sort_out
from vesselforge.data.layouts.roles import is_part
from vesselforge.data.prepare import prepare
from vesselforge.engine.documents import inside, is_plain, spelled
from vesselforge.engine.files import replacing
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.models.scoring import find_maps

NAMES = [
    "eye 1\u202fPM", "eye\u00a02", "眼\u3000三", "œil gauche", "глаз", "👁", "a.b (1) [x]",
    "ไทย\u200d", "عين", "ä" * 120,
]  # fmt: skip


def test_any_name_goes_all_the_way(tmp_path: Path) -> None:
    root = write_paired(tmp_path / "set", NAMES)
    assert check(named_dataset(str(root))).errors == []
    settings = PrepareSettings(data=DataSettings(name="paired", root=root), part="all")
    (tmp_path / "out").mkdir()
    prepare(settings, {}, tmp_path / "out", Progress())
    records = {record.id: record for record in read_index(tmp_path / "out")}
    assert set(records) == set(NAMES)
    for number, name in enumerate(NAMES):
        loaded = load_image(tmp_path / "out", records[name])
        assert np.array_equal(loaded.image, phantom(number).image)
        assert np.array_equal(loaded.reference, phantom(number).mask)


def test_composed_and_decomposed_letters_are_the_same(tmp_path: Path) -> None:
    names = ["œil-dété", "Müller", "étage"]
    for number, name in enumerate(names):
        apart = unicodedata.normalize("NFD", name)
        assert apart != name
        save(tmp_path / f"images/{name if number else apart}.png", phantom(number).image)
        save(tmp_path / f"masks/{apart if number else name}.png", phantom(number).mask)
        save(tmp_path / f"maps/{apart}_probability.png", phantom(number).mask)
    dataset = named_dataset(str(tmp_path))
    assert check(dataset).errors == []
    assert {item.id for item in dataset} == set(names)
    maps = find_maps(tmp_path / "maps", list(dataset))
    assert [unicodedata.normalize("NFC", p.name.split("_")[0]) for p in maps] == [
        item.id for item in dataset
    ]
    left_out = [unicodedata.normalize("NFD", "Müller")]
    settings = DataSettings(name="paired", root=tmp_path, exclude=left_out)
    assert {item.id for item in load_settings(settings)} == set(names) - {"Müller"}
    pattern = unicodedata.normalize("NFD", "(?P<id>œil|Mü|ét)")
    assert len(named_dataset(str(tmp_path), pattern=pattern)) == 3


def test_labels_name_their_images_in_either_way(tmp_path: Path) -> None:
    for number, name in enumerate(("éa", "éb")):
        save(tmp_path / f"{name}.png", phantom(number).image)
    entries = [
        [unicodedata.normalize("NFD", f"{name}.png"), n] for n, name in enumerate(("éa", "éb"))
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": entries}))
    found = load_settings(DataSettings(name="images", root=tmp_path))
    assert {item.id: item.label for item in found} == {"éa": (1, 0), "éb": (0, 1)}


def undecodable(path: Path) -> None:
    """The file under a name of an old disk, Latin-1."""
    path.rename(path.with_name(os.fsdecode(b"caf\xe9") + path.suffix))


@pytest.mark.parametrize("strange", ["latin-1", "a\nb", "a\x1bb"])
@pytest.mark.parametrize("layout", ["paired", "images"])
def test_what_is_no_text_is_named_in_one_line(tmp_path: Path, strange: str, layout: str) -> None:
    root = write_paired(tmp_path)
    for folder in ("images", "masks"):
        path = root / folder / "c.png"
        if strange == "latin-1":
            undecodable(path)
        else:
            path.rename(path.with_name(f"{strange}.png"))
    where = root if layout == "paired" else root / "images"
    settings = DataSettings(name=layout, root=where)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="its name is not UTF-8 text, or holds a control") as caught:
        load_settings(settings)
    assert is_plain(str(caught.value))
    found = check(load_settings(settings, lenient=True))
    assert all("rename it" in problem.sentence for problem in found.errors)
    if strange == "latin-1":
        assert "caf\\udce9.png" in found.errors[0].file
        assert any("caf\\udce9.png" in id_ for id_ in sort_out(settings, Progress()).quarantined)


def test_a_message_whose_path_has_a_colon_keeps_it(tmp_path: Path) -> None:
    root = tmp_path / "visit: first"
    save(root / "a.png", phantom(0).image)
    save(root / "b.png", phantom(1).image)
    (root / "labels.csv").write_text("name,label\na.png,red\n")
    problem = next(
        p for p in load_settings(DataSettings(name="images", root=root), lenient=True).problems
    )
    assert problem.file == str(root / "labels.csv")
    assert problem.sentence.startswith("line 2: found label")


def test_names_in_manifests_and_archives_may_hold_any_space(tmp_path: Path) -> None:
    for name in NAMES:
        assert inside(tmp_path, f"images/{name}.png", tmp_path) == tmp_path / f"images/{name}.png"
    for name in ("a\x00", "a\nb", "a\x1b[31m", "\x85", "caf\udce9"):
        assert not is_plain(name)
        with pytest.raises(WorkspaceError):
            inside(tmp_path, name, tmp_path)
    root = write_paired(tmp_path / "set", NAMES[:4])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.png"):
            archive.write(path, path.relative_to(root))
    assert unpack([tmp_path / "a.zip"], tmp_path / "new", is_part) == 8
    assert {p.stem for p in (tmp_path / "new/images").iterdir()} == set(NAMES[:4])


def test_a_name_that_a_file_system_allows_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("眼" * 83 + ".png")
    with replacing(path) as aside:
        aside.write_text("whole")
    assert path.read_text() == "whole"
    assert spelled("眼 ok") == "眼 ok"
