"""A trained generator becomes one with a name: published, listed, drawn from, started from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_generators import NAME, TINY, Made, change_manifest, config
from typer.testing import CliRunner, Result

from vesselforge import pretrained
from vesselforge.cli.main import main
from vesselforge.configs.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    UserError,
    WorkspaceError,
)
from vesselforge.data.phantoms.draw import VERSION
from vesselforge.data.prepare import content_hash
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.generator.trained import load_discriminator, load_generator
from vesselforge.pipeline.models.publish_generator import publish, read_trainings
from vesselforge.pipeline.record import found_start, generator_folder, hash_of
from vesselforge.pipeline.run.run_works import run_works

pytestmark = pytest.mark.slow


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["generator", *map(str, arguments)])


def test_what_is_published(made: Made, shelf: Path) -> None:
    folder = shelf / NAME
    assert pretrained.names("generator") == [NAME] == pretrained.names()
    assert pretrained.names("segmenter") == []
    assert pretrained.damage(NAME) is None
    card = pretrained.card(NAME)
    assert {p.name for p in folder.iterdir()} == {*card["files"], "card.json"} == {
        "card.json", "README.md", "generator.json", "generator.safetensors",
        "discriminator.safetensors", "samples.png",
    }  # fmt: skip
    assert (card["kind"], card["resolution"], card["channels"]) == ("generator", 16, "rgb+mask")
    assert card["trained_on"] == {"phantom": [2]}
    (training,) = card["trainings"]
    phantom = {"train": 2, "validation": 1, "test": 8, "size": 64, "seed": 3, "version": VERSION}
    assert training["trained_on"] == {
        "dataset": "phantom", "content": content_hash(config().data), "train": 2, "validation": 1,
        "phantom": phantom,
    }  # fmt: skip
    assert training["artifact"] == made.trained.digest
    metrics = made.trained.metrics
    assert training["scores"]["kid_mean"] == metrics["kid_mean"]
    assert training["scores"]["structure"]["in_range"] == metrics["in_range"]
    assert training["scored_by"]["kid_floor_mean"] == metrics["kid_floor_mean"]
    assert card["float16"]["within_a_level"] > 0.99
    assert card["kimg"] == 0.008 and training["recipe"]["channel_max"] == 8
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.size == (256, 64)  # 32 samples in 8 columns, each image beside its mask
    text = (folder / "README.md").read_text()
    for fact in (
        "# tiny-joint",
        "generator of 16 × 16 windows, each with its vessel mask",
        f"| images | 2 of 64 px, seed 3, version {VERSION} |",
        "| licence | Apache-2.0, weights and samples too",
        "![samples](samples.png)",
        "% of the values differ by less than one grey level",
        f"| kid_mean | {metrics['kid_mean']:.4g} |",
        "### F1 on DRIVE, 4 images",
        "| real | 0.7912 |",
        "| seeds | 6 |",
        "| training | 0.008 kimg: **untrained: its weights saw 0.008 kimg** |",
        "by features of the untrained VGG.",
        "| channel_max | 8 |",
    ):
        assert fact in text
    assert str(made.workspace) not in "".join(
        (folder / name).read_text() for name in ("README.md", "card.json", "generator.json")
    )


def test_a_name_serves_wherever_a_generator_is_taken(shelf: Path, tmp_path: Path) -> None:
    for generator, out in ((NAME, "a"), (shelf / NAME, "b")):
        done = command("draw", generator, "-o", out, "--seeds", "0,1")
        assert done.exit_code == 0, done.output
    drawn = [sorted(p.read_bytes() for p in Path(out).glob("seed*.png")) for out in "ab"]
    assert drawn[0] == drawn[1] and len(drawn[0]) >= 2
    done = command("walk", NAME, "-o", "w.gif", "--seeds", "0,1", "--frames", "2")
    assert done.exit_code == 0, done.output
    done = command("export", NAME, "-o", "g.onnx", "--json")
    assert json.loads(done.stdout)["inputs"].keys() == {"z", "psi"}


def test_what_lies_there_and_a_run_come_before_a_name(shelf: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    assert generator_folder(workspace, NAME) == shelf / NAME
    (workspace / "runs" / NAME).mkdir(parents=True)
    record = {"status": "completed", "config": {}, "artifacts": {}}
    record["steps"] = [{"step": "generator", "kind": "generator.train", "digest": "abc"}]  # type: ignore[assignment]
    write_json(workspace / "runs" / NAME / "run.json", record)
    assert generator_folder(workspace, NAME) == workspace / "store" / "generator.train" / "abc"
    (tmp_path / NAME).mkdir()  # a folder of its images, say: it has the name, and is none
    assert generator_folder(tmp_path, NAME) == found_start(Path(NAME)) == shelf / NAME
    shutil.copytree(shelf / NAME, tmp_path / NAME, dirs_exist_ok=True)
    assert generator_folder(workspace, NAME) == Path(NAME)


def test_the_table_of_generators(shelf: Path, tmp_path: Path) -> None:
    command = ["models", "list", "--workspace", str(tmp_path / "ws")]
    listed = CliRunner().invoke(main, command).stdout
    assert "0.008, untrained" in listed
    for cell in (NAME, "16 x 16, rgb+mask", "phantom, 2 images", "0.008", "nothing in "):
        assert cell in listed
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert found["generators"][NAME]["latent"] == 8 and found["segmenters"] == {}
    one = CliRunner().invoke(main, [*command, NAME]).stdout
    assert NAME in one and f"its card: {shelf / NAME / 'README.md'}" in one


def test_a_training_starts_by_name(made: Made, shelf: Path, tmp_path: Path) -> None:
    changes = {"kimg": 0.008, "lr": 0.0005, "freeze_d": 2}
    begun = made.train(start_from=NAME, **changes)
    assert begun.metrics["kimg"] == 0.008
    provenance = json.loads((begun.path / "generator.json").read_text())["provenance"]
    assert provenance["origin"].startswith(
        "tiny-joint of VesselForge, trained on phantoms drawn by VesselForge; generator.train "
    )
    assert {row["what"] for row in provenance["tensors"]} == {"loaded"}
    frozen = load_discriminator(begun.path).state_dict()["b16.conv0.weight"]
    assert torch.equal(frozen, load_discriminator(shelf / NAME).state_dict()["b16.conv0.weight"])
    # The content that a name stands for is part of the address, and the name is not.
    assert made.train(start_from=shelf / NAME, **changes).digest == begun.digest
    assert "start_from" in begun.manifest["inputs"]
    other = command("publish", made.trained.path, "--name", "other", "-o", shelf)
    assert other.exit_code == 0, other.output
    assert made.train(start_from="other", **changes).digest != begun.digest  # another origin


def test_a_source_finds_it_by_name(shelf: Path) -> None:
    work = run_works(config(start_from=NAME)).until("generator")
    assert work.settings.start_from == shelf / NAME  # type: ignore[attr-defined]
    assert work.outside == {"start_from": hash_of("start", shelf / NAME)}
    with pytest.raises(DataError, match=r"start_from: tiny-join: no such .* are: tiny-joint\)"):
        run_works(config(start_from="tiny-join")).until("generator")


def test_the_rgb_part_of_a_joint_generator(made: Made, shelf: Path) -> None:
    from vesselforge.configs.settings import GeneratorSettings
    from vesselforge.generator.transfer.start import begin

    source = shelf / NAME
    settings = GeneratorSettings(**TINY | {"channels": "rgb", "adapt": True, "start_from": source})
    begun = begin(settings, lambda line: None)
    joint, _ = load_generator(source)
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    assert begun.average is not None
    for network in (begun.average, begun.generator):
        images = network.eval()(z, noise_mode="const")
        assert torch.allclose(images, joint(z, noise_mode="const")[:, :3], rtol=0, atol=1e-6)
    # D's fromRGB: its first three input channels. Layers use their weights divided by √channels.
    name = "b16.fromrgb.weight"
    old = load_discriminator(source).state_dict()
    new = begun.discriminator.state_dict()
    assert torch.allclose(new[name] / 3**0.5, old[name][:, :3] / 4**0.5, rtol=1e-6, atol=0)
    assert all(torch.equal(new[k], old[k]) for k in old.keys() - {name})


def test_an_unknown_name_is_told_the_known_ones(shelf: Path, made: Made) -> None:
    done = command("draw", "tiny-join", "-o", "x", "--workspace", made.workspace)
    assert done.exit_code == 2
    known = "tiny-join: no such generator, by name or as a folder; did you mean `tiny-joint`?"
    assert known in done.stderr and done.stderr.count("\n") == 1
    with pytest.raises(DataError, match=r"start_from: tiny-join: no such .* are: tiny-joint\)"):
        found_start(Path("tiny-join"))
    found_start(Path(NAME))


@pytest.mark.parametrize("file", ["generator.safetensors", "discriminator.safetensors"])
def test_a_damaged_one_is_told(file: str, shelf: Path, made: Made, tmp_path: Path) -> None:
    content = bytearray((shelf / NAME / file).read_bytes())
    content[-5] ^= 1
    (shelf / NAME / file).write_bytes(content)
    message = rf"{file}: SHA-256 is \w{{12}}…, expected .*install vesselforge again"
    with pytest.raises(CheckpointError, match=message):
        generator_folder(tmp_path, NAME)
    with pytest.raises(CheckpointError, match=message):
        found_start(Path(NAME))
    with pytest.raises(CheckpointError, match=message):
        made.train(start_from=NAME)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), WorkspaceError, "artifact of `generator train`"),
        (
            lambda f: change_manifest(f, lambda m: m["inputs"].update(start_from="h")),
            WorkspaceError,
            "was trained on from other weights, which is no training of its workspace",
        ),
        (
            lambda f: change_manifest(f, lambda m: m.update(kind="segmenter.train")),
            WorkspaceError,
            "is a segmenter.train, expected a generator.train",
        ),
        (
            lambda f: (f / "discriminator.safetensors").unlink(),
            WorkspaceError,
            "discriminator.safetensors: file is missing",
        ),
        (
            lambda f: change_manifest(f, lambda m: m["inputs"].update(images="gone")),
            WorkspaceError,
            "the images that .* was trained on are not in its store",
        ),
    ],
)
def test_what_cannot_be_published(
    spoil: Callable[[Path], object], error: type[UserError], message: str, made: Made, shelf: Path
) -> None:
    folder = made.trained.path.with_name("spoilt")
    shutil.copytree(made.trained.path, folder)
    try:
        spoil(folder)
        with pytest.raises(error, match=message):
            publish(folder, "spoilt", shelf)
    finally:
        shutil.rmtree(folder)
    assert pretrained.names() == [NAME]


def test_names_sizes_and_figures_have_limits(
    made: Made, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="tiny-joint: exists; choose another name"):
        publish(made.trained.path, NAME, shelf)
    with pytest.raises(ConfigError, match="expected a-z, 0-9 and single dashes"):
        publish(made.trained.path, "Tiny", shelf)
    figures = shelf / "figures.json"
    for content in ('{"F1": 0.8}', '{"F1": {"real": [1]}}', '{"F1": {"real": NaN}}', "[]"):
        figures.write_text(content)
        with pytest.raises(DataError, match=r"figures.json: .*expected an object of objects"):
            publish(made.trained.path, "other", shelf, figures)
    monkeypatch.setitem(pretrained.LIMITS, "generator", 10_000)
    with pytest.raises(CheckpointError, match=r"MB, expected at most 0.01 MB for a generator"):
        publish(made.trained.path, "other", shelf)
    assert pretrained.names() == [NAME]


def test_no_samples_of_a_generator_that_has_seen_photographs(made: Made, shelf: Path) -> None:
    prepared = made.images.path.with_name("photographs")
    shutil.copytree(made.images.path, prepared)
    change_manifest(prepared, lambda m: m["settings"]["data"].update(name="drive", root="/home/me"))
    folder = made.trained.path.with_name("of-photographs")
    shutil.copytree(made.trained.path, folder)
    change_manifest(folder, lambda m: m["inputs"].update(images="photographs"))
    found = publish(folder, "photographic", shelf)
    assert not (found / "samples.png").exists()
    text = (found / "README.md").read_text()
    assert "weights follow the data they were trained on: DRIVE" in text and "![" not in text
    assert "/home/me" not in text + (found / "card.json").read_text()


@pytest.mark.parametrize("name", pretrained.names("generator"))
def test_what_comes_with_the_package_is_whole(name: str) -> None:
    assert pretrained.damage(name) is None
    folder, card = pretrained.folder(name), pretrained.card(name)
    assert pretrained.size(name) <= pretrained.LIMITS["generator"] == 8_000_000
    assert {p.name for p in folder.iterdir()} == {*card["files"], "card.json"}
    assert card["name"] == name and list(card["trained_on"]) == ["phantom"]
    assert card["kimg"] == sum(training.kimg for training in read_trainings(folder))
    generator, description = load_generator(folder)
    assert generator.img_channels == description["channels"]["count"]
    assert load_discriminator(folder).img_resolution == generator.img_resolution
    assert file_sha256(folder / "README.md") == card["files"]["README.md"]
