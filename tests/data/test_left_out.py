"""data.exclude names images that are there; the places that variables name may begin with `~`."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest
from dataset_writers import phantom, save, write_drive, write_paired

from vesselforge.configs.errors import DataError
from vesselforge.configs.load import validate
from vesselforge.configs.plain_yaml import parse
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.pipeline.record import workspace_folder


def settings(root: Path, exclude: str) -> DataSettings:
    values = parse(f"{{name: paired, exclude: {exclude}}}") | {"root": root}
    return validate(DataSettings, values, "test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images 01 to 04, and one with an umlaut, composed."""
    for number, name in enumerate(["01", "02", "03", "04", normalize("NFC", "Bär")]):
        for folder, pixels in (("images", phantom(number).image), ("masks", phantom(number).mask)):
            save(tmp_path / folder / f"{name}.png", pixels)
    return tmp_path


def left(root: Path, exclude: str) -> list[str]:
    return sorted(item.id for item in load_settings(settings(root, exclude)))


def test_numbers_are_read_as_they_are_written(root: Path) -> None:
    assert left(root, "[01, '02', 03]") == ["04", "Bär"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_with_accents_are_equal_in_both_forms(root: Path, form: str) -> None:
    assert left(root, f"[{normalize(form, 'Bär')}]") == ["01", "02", "03", "04"]


@pytest.mark.parametrize(
    ("exclude", "nearest"), [("[1]", "'01'"), ("[BAR]", "'Bär'"), ("['04.png']", "'04'")]
)
def test_an_identifier_that_no_image_has_is_an_error_with_the_nearest(
    root: Path, exclude: str, nearest: str
) -> None:
    with pytest.raises(DataError) as error:
        left(root, exclude)
    message = str(error.value)
    assert message.startswith(
        f"data.exclude: found no image {parse(exclude)[0]!r}".replace("image 1", "image '1'")
    )
    assert f"the nearest identifiers are {nearest}" in message
    assert str(root) in message


def test_of_phantoms_and_known_sets_too(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data\.exclude: found no image 'x' in phantom; the nearest"
    ):
        load_settings(DataSettings(exclude=["x"]))
    drive = write_drive(tmp_path)
    with pytest.raises(DataError, match=r"found no image '41' .* are '\d\d', '\d\d', "):
        load_settings(DataSettings(name="drive", root=drive, exclude=["41"]))
    kept = load_settings(DataSettings(name="drive", root=drive, exclude=["21"]))
    assert len(kept) == 39


def test_an_image_without_a_partner_can_be_left_out(tmp_path: Path) -> None:
    write_paired(tmp_path)
    save(tmp_path / "masks" / "alone.png", phantom(9).mask)
    assert len(left(tmp_path, "[alone]")) == 8


def test_variables_may_begin_with_a_tilde(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    write_drive(root / "sets" / "DRIVE")
    monkeypatch.setenv("VESSELFORGE_DATA", "~/sets")
    assert named_dataset("drive").root == root / "sets" / "DRIVE"
    monkeypatch.setenv("VESSELFORGE_WORKSPACE", "~/w")
    assert workspace_folder() == root / "w"
    assert workspace_folder("~/v") == root / "v"
