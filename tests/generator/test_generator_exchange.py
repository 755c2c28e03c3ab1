"""Generators from and for other programs: import of official files, export to ONNX."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch
from official_format import persist, write_snapshot
from official_networks import (
    D_KWARGS,
    make_discriminator,
    make_generator,
    make_snapshot,
    official,
)

import vesselforge.generator.transfer.start_weights
from vesselforge.configs.errors import CheckpointError, ConfigError, WorkspaceError
from vesselforge.generator.onnx_export import Pictures, difference, example, export
from vesselforge.generator.trained import load_discriminator, load_generator
from vesselforge.generator.transfer.start_weights import import_official, read_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pkl(tmp_path_factory):
    return write_snapshot(tmp_path_factory.mktemp("official"), make_snapshot())


@pytest.fixture(scope="module")
def folder(pkl, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "generator"
    import_official(pkl, out)
    return out


def same(network, reference):
    return all(torch.equal(t, reference.state_dict()[n]) for n, t in network.state_dict().items())


def test_an_imported_folder_is_a_generators_folder(folder):
    network, description = load_generator(folder)
    assert same(network, make_generator(2))
    assert same(load_discriminator(folder), make_discriminator())
    source = read_folder(folder)
    assert source.notes == []
    assert torch.equal(source.networks["G"].tensors["mapping.fc0.bias"],
                       make_generator(1).mapping.fc0.bias)  # fmt: skip
    assert "non-commercial" in source.provenance["origin"]
    assert description["training"]["kimg"] == 123
    assert description["channels"]["kind"] == "rgb" and description["resolution"] == 16
    assert description["training_set"]["xflip"] is True


def test_what_an_import_says(pkl, tmp_path):
    made = import_official(pkl, tmp_path / "new" / "out")
    assert [row["network"] for row in made["networks"]] == ["G", "D", "G_ema"]
    assert made["networks"][2]["parameters"] == sum(
        p.numel() for p in make_generator().parameters()
    )
    assert made["notes"] == []
    assert (made["channels"], made["label_length"]) == (3, 3)
    assert "non-commercial" in made["origin"]
    json.dumps(made)
    assert not [p for p in (tmp_path / "new").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("slots", "files"),
    [
        (("G_ema",), {"generator"}),
        (("G",), {"generator", "training"}),
        (("G_ema", "D"), {"generator", "discriminator"}),
    ],
)
def test_networks_that_the_file_lacks_are_left_out(slots, files, tmp_path):
    whole = make_snapshot()
    path = write_snapshot(tmp_path, {slot: whole[slot] for slot in slots})
    made = import_official(path, tmp_path / "out")
    assert len(made["notes"]) >= 1
    assert {p.stem for p in (tmp_path / "out").glob("*.safetensors")} == files
    assert same(load_generator(tmp_path / "out")[0], make_generator(2 if "G_ema" in slots else 1))


def test_a_file_without_generator_leaves_nothing(tmp_path):
    path = write_snapshot(tmp_path, {"D": persist(make_discriminator(), official(D_KWARGS))})
    with pytest.raises(CheckpointError, match="no generator"):
        import_official(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_nothing_is_overwritten_unasked(pkl, folder, tmp_path):
    with pytest.raises(ConfigError, match="give --force"):
        import_official(pkl, folder)
    mine = tmp_path / "pictures"
    mine.mkdir()
    (mine / "cat.png").touch()
    for force in (False, True):
        with pytest.raises(ConfigError, match="no generator's folder"):
            import_official(pkl, mine, force)
    assert [p.name for p in mine.iterdir()] == ["cat.png"]


def test_force_replaces_an_earlier_import_whole_or_not_at_all(pkl, tmp_path, monkeypatch):
    out = tmp_path / "out"
    import_official(pkl, out)
    (out / "stale.txt").touch()
    monkeypatch.setattr(vesselforge.generator.transfer.start_weights, "write_json", full_disk)
    with pytest.raises(WorkspaceError, match="No space left"):
        import_official(pkl, out, force=True)
    assert (out / "stale.txt").is_file()
    monkeypatch.undo()
    import_official(pkl, out, force=True)
    assert not (out / "stale.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def full_disk(path, value):
    raise OSError(28, "No space left on device", str(path))


@pytest.fixture(scope="module")
def onnx_file(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "g.onnx"
    return path, export(folder, path)


def test_onnx_runtime_draws_our_images(folder, onnx_file):
    import onnxruntime

    path, made = onnx_file
    assert made["inputs"] == {"z": ["batch", 8], "psi": [], "c": ["batch", 3]}
    assert made["output"] == ["batch", 3, 16, 16]
    assert made["difference"] <= 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network, _ = load_generator(folder)
    for count, psi in ((1, 0.5), (5, 1.0), (2, 0.0)):
        z = torch.randn(count, 8)
        c = torch.eye(3)[torch.arange(count) % 3]
        feed = {"z": z.numpy(), "c": c.numpy(), "psi": np.array(psi, dtype=np.float32)}
        found = session.run(["image"], feed)[0]
        wanted = network(z, c, truncation_psi=psi, noise_mode="const").numpy()
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    facts = session.get_modelmeta().custom_metadata_map
    assert "non-commercial" in facts["provenance"]


def test_the_check_before_writing_can_fail(folder, onnx_file):
    network, _ = load_generator(folder)
    inputs = example(network, count=3)
    model = onnx_file[0].read_bytes()
    assert difference(model, Pictures(network), inputs) <= 1e-5
    network.synthesis.b16.torgb.weight[0] *= 1.01
    assert difference(model, Pictures(network), inputs) > 1e-4


def test_a_missing_package_is_one_line_with_the_remedy(folder, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "onnxscript" else find(name, *a),
    )
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'vesselforge\[onnx\]'$"):
        export(folder, tmp_path / "g.onnx")
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_none(folder, tmp_path):
    (tmp_path / "there.onnx").touch()
    with pytest.raises(ConfigError, match="give --force"):
        export(folder, tmp_path / "there.onnx")
    with pytest.raises(ConfigError, match="there is no folder"):
        export(folder, tmp_path / "no" / "g.onnx")
    with pytest.raises(ConfigError, match=r"expected \.onnx"):
        export(folder, tmp_path / "g.pt")
