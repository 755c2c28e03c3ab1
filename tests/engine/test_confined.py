"""Names in indexes, manifests and descriptions that try to lead out of their folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_generators import write_generator
from store_stages import run

from vesselforge.configs.errors import CheckpointError, UserError, WorkspaceError
from vesselforge.data.imageset import ImageRecord, read_index, write_index, write_png
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import inside
from vesselforge.engine.files import file_sha256, link_file
from vesselforge.engine.store import Store, whole_artifact
from vesselforge.generator.trained import load_generator
from vesselforge.segmenter.model_files import read_description

NAMES = ["../secret.png", "/etc/passwd", "a/../../secret.png", "a//b.png", "./a.png", "..", "",
         "a\0b.png", "a\n.png", "a/", None, 3, ["a.png"]]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_only_plain_paths_below(name: object, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        inside(tmp_path, name, tmp_path / "index.json")
    assert str(caught.value).startswith(f"{tmp_path}/index.json: found the file name ")
    with pytest.raises(WorkspaceError):
        Store(tmp_path).folder("kind", name)  # type: ignore[arg-type]


def test_links_may_lead_about_inside_only(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "a.png").touch()
    (tmp_path / "secret.png").touch()
    (folder / "images/near.png").symlink_to("../a.png")
    (folder / "images/far.png").symlink_to("../../secret.png")
    (folder / "up").symlink_to("..")
    link_file(tmp_path / "secret.png", folder / "hard.png")  # as data.subset makes them
    for name in ("a.png", "images/near.png", "hard.png", "not/there.png"):
        assert inside(folder, name, folder / "index.json") == folder / name
    for name in ("images/far.png", "up/secret.png"):
        with pytest.raises(WorkspaceError, match="a path that stays inside"):
            inside(folder, name, folder / "index.json")
    (tmp_path / "other").symlink_to(folder)  # a workspace may lie behind a link
    assert inside(tmp_path / "other", "images/near.png", folder / "index.json").exists()


def test_an_index(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    write_index(
        tmp_path, "set", [ImageRecord("a", "train", "a.png", observers={"2nd": "../b.png"})]
    )
    with pytest.raises(WorkspaceError, match=r"index.json: found the file name '../b.png'"):
        read_index(tmp_path)


def test_a_manifest(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "ws"), run(tmp_path / "ws")
    (tmp_path / "secret.txt").write_text("x")
    manifest = json.loads((made.path / MANIFEST).read_text())
    name = "../../../../secret.txt"
    manifest["files"][name] = file_sha256(tmp_path / "secret.txt")
    (made.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(WorkspaceError) as damage:
        whole_artifact(made.path)
    assert f"manifest.json: found the file name '{name}'" in str(damage.value)
    with pytest.raises(WorkspaceError, match="moved to"):
        store.find(made.kind, made.digest)


@pytest.mark.parametrize("address", [("..", "runs"), ("a/b", "c"), ("a", ""), ("a", None)])
def test_an_address(address: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="an artifact's address: found"):
        Store(tmp_path).folder(*address)


@pytest.mark.parametrize("file", ["../model.safetensors", "/model.safetensors"])
def test_a_model(file: str, tmp_path: Path) -> None:
    member = {"network": "sa-unet", "options": {}, "file": file}
    (tmp_path / "model.json").write_text(json.dumps({"members": [member], "threshold": 0.5}))
    with pytest.raises(UserError, match=r"model.json: found the file name '\S*model.safetensors'"):
        read_description(tmp_path)


def test_options_of_a_larger_network_than_its_weights(tmp_path: Path) -> None:
    from vesselforge.engine.checkpoints import save_tensors
    from vesselforge.segmenter.models import Model
    from vesselforge.segmenter.networks import build

    save_tensors(tmp_path / "w.safetensors", build("sa-unet", width=2).state_dict())
    member = {"network": "sa-unet", "options": {"width": 10**6}, "file": "w.safetensors"}
    (tmp_path / "model.json").write_text(json.dumps({"members": [member], "threshold": 0.5}))
    with pytest.raises(CheckpointError, match=r"w.safetensors: tensor \S+ has shape"):
        Model.load(tmp_path)


def test_the_field_of_view_of_a_generator(tmp_path: Path) -> None:
    write_generator(tmp_path, fov="../secret.png")
    with pytest.raises(CheckpointError, match=r"generator.json: fov: Input should be 'fov.png'"):
        load_generator(tmp_path)
