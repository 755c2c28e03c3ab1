"""Models that trainings begin with: part of the address by content, copied, of the same network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from segmenter_helpers import TINY, artifact, phantom_set

from vesselforge.configs.errors import CheckpointError, ConfigError, DataError
from vesselforge.configs.settings import PipelineConfig, StartSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact, read_artifact
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.models.seen import SEEN, images_seen, seen_before
from vesselforge.pipeline.preview import starts_of
from vesselforge.pipeline.run.run_works import RunWorks, run_works
from vesselforge.pipeline.starts import copy, outside
from vesselforge.segmenter.model_files import Member, read_description, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.training.fit import train

NETWORK = "sa-unet-v2"  # GroupNorm: nothing but the weights is measured anew


def model(folder: Path, seed: int = 0, network: str = NETWORK, **options: Any) -> Path:
    """A model of random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    weights = build(network, **options).state_dict()
    save_model(folder, [(Member(network, options, "model.safetensors"), weights)], 0.4)
    return folder


def works(**groups: Any) -> RunWorks:
    values: dict[str, Any] = {"teacher": {"network": NETWORK}}
    for name, value in groups.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return run_works(PipelineConfig.model_validate(values))


def start_of(work: Work) -> Work:
    return work.inputs["start"]


def test_equal_weights_are_an_equal_address_and_others_another(tmp_path: Path) -> None:
    first = works(teacher={"start_from": model(tmp_path / "a")}).teacher()
    moved = Path(shutil.copytree(tmp_path / "a", tmp_path / "b" / "elsewhere"))
    (moved / "README.md").write_text("what is no part of the model does not count")
    assert works(teacher={"start_from": moved}).teacher().digest == first.digest
    assert works(teacher={"start_from": model(moved, seed=1)}).teacher().digest != first.digest
    assert works().teacher().digest != first.digest
    assert set(first.inputs) == {"images", "start"}
    assert first.settings.start_from is None  # type: ignore[attr-defined]
    assert starts_of([first]) == {
        str(tmp_path / "a"): f"{tmp_path / 'a'}, content {start_of(first).outside['model'][:12]}"
    }


def test_the_shipped_model_is_found_by_its_name() -> None:
    teacher = {"network": "sa-unet", "start_from": "sa-unet-drive"}
    assert start_of(works(teacher=teacher).teacher()).outside["model"]
    expected = r"^teacher\.start_from: sa-unet-drvie: no such model.*did you mean `sa-unet-drive`"
    with pytest.raises(CheckpointError, match=expected):
        works(teacher=teacher | {"start_from": "sa-unet-drvie"})


def test_a_student_begins_as_its_teacher_and_each_training_may_say_otherwise(
    tmp_path: Path,
) -> None:
    a, b, c = (model(tmp_path / name, seed) for seed, name in enumerate("abc"))
    same = works(teacher={"start_from": a})
    made = same.augmentation()
    assert start_of(made["pretrained"]).digest == start_of(same.teacher()).digest
    assert start_of(made["student"]) is made["pretrained"]

    own = works(teacher={"start_from": a}, pretrain={"start_from": b}).augmentation()
    assert start_of(own["pretrained"]).outside == outside(StartSettings(model=b))
    none = works(teacher={"start_from": a}, student={"start_from": "none"}).augmentation()
    assert "start" not in none["pretrained"].inputs

    tuned = works(teacher={"start_from": a}, finetune={"start_from": c})
    made = tuned.augmentation()
    assert "pretrained" not in made  # nobody would use it
    assert start_of(made["student"]).outside == outside(StartSettings(model=c))
    assert made["student"].settings.lr == tuned.config.phases[1].lr  # type: ignore[attr-defined]
    kinds = [work.kind for work in closure(tuned.everything()).values()]
    assert kinds.count("segmenter.train") == 2 and kinds.count("segmenter.start") == 2


def test_it_is_scored_beside_the_models_of_the_run(tmp_path: Path) -> None:
    run = works(teacher={"start_from": model(tmp_path / "a")}, source="none")
    scores = next(work for work in run.everything() if work.kind == "segmenter.evaluate")
    assert set(scores.inputs) == {"test", "validation", "start", "fine-tuned"}
    assert scores.inputs["start"].digest == start_of(run.teacher()).digest


def test_another_network_is_refused_in_one_line_that_names_both(tmp_path: Path) -> None:
    a = model(tmp_path / "a")
    told = (
        rf"teacher\.start_from: the model {a} is sa-unet-v2, and the training is of sa-unet; set "
        "network: sa-unet-v2, "
    )
    with pytest.raises(ConfigError, match=told) as refused:
        works(teacher={"start_from": a, "network": "sa-unet"})
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"student\.start_from: the model .* is sa-unet-v2"):
        works(teacher={"start_from": a}, student={"network": "backbone"})
    wide = model(tmp_path / "wide", width=8, drop=0.3)
    with pytest.raises(ConfigError, match="is sa-unet-v2 with width 8, and the training is of sa"):
        works(teacher={"start_from": wide})
    # How much is dropped in training is no property of weights.
    assert works(teacher={"start_from": model(tmp_path / "d", drop=0.3), "drop": 0.1}).teacher()


def test_what_is_no_model_of_one_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^teacher\.start_from: .*: no model here; expected"):
        works(teacher={"start_from": tmp_path})
    pair = [(Member(NETWORK, {}, f"{n}.safetensors"), build(NETWORK).state_dict()) for n in "ab"]
    save_model(tmp_path, pair, 0.5)
    with pytest.raises(DataError, match="an ensemble cannot be trained on"):
        works(teacher={"start_from": tmp_path})
    with pytest.raises(ValueError, match=r"finetune\.start_from: order: mixed has one training"):
        PipelineConfig.model_validate({"order": "mixed", "finetune": {"start_from": "a"}})
    with pytest.raises(ValueError, match=r"finetune\.start_from: .*set teacher\.start_from"):
        StudyConfig.model_validate({"finetune": {"start_from": "a"}})


def test_of_a_run_the_best_single_network_is_taken(tmp_path: Path) -> None:
    store, run = Store(tmp_path), tmp_path / "runs" / "eyes"
    artifacts = {name: ["segmenter.train", name] for name in ("teacher", "student", "ensemble")}
    for seed, address in enumerate(artifacts.values()):
        model(store.folder(*address), seed)
    f1 = {"teacher": 0.7, "student": 0.8, "ensemble": 0.9}
    chosen = {"model": "ensemble", "validation_f1": f1}
    record = {"status": "completed", "config": {}, "artifacts": artifacts, "steps": []}
    run.mkdir(parents=True)
    write_json(run / "run.json", record | {"chosen": chosen})
    config = PipelineConfig.model_validate({"teacher": {"network": NETWORK, "start_from": "eyes"}})
    found = start_of(run_works(config, tmp_path).teacher())
    assert found.outside == outside(StartSettings(model=store.folder(*artifacts["student"])))


def copied(folder: Path, out: Path) -> Artifact:
    out.mkdir()
    copy(StartSettings(model=folder), {}, out, Progress())
    return artifact(out)


def test_the_copy_is_the_model_and_damage_is_told(tmp_path: Path) -> None:
    a = model(tmp_path / "a")
    (a / "README.md").write_text("not copied")
    made = copied(a, tmp_path / "copy")
    assert outside(StartSettings(model=made.path)) == outside(StartSettings(model=a))
    assert not (made.path / "README.md").exists()
    content = bytearray((a / "model.safetensors").read_bytes())
    (a / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        copied(a, tmp_path / "damaged")


def test_a_training_that_hardly_moves_gives_the_maps_of_its_start(tmp_path: Path) -> None:
    start = copied(model(tmp_path / "a", drop=0.3), tmp_path / "copy")
    images = phantom_set(tmp_path / "images", {"train": 2, "validation": 1})
    changes = {"network": NETWORK, "steps": 1, "lr": 1e-9, "warmup": 0, "ema": 0.0}
    out = tmp_path / "out"
    out.mkdir()
    settings = TINY.model_copy(update=changes)
    train(settings, {"images": artifact(images), "start": start}, out, Progress())
    assert read_description(out).members[0].options == {}  # its own drop rate
    image = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    before, after = (Model.load(folder).run(image) for folder in (start.path, out))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert before.std() > 1e-4


def made(store: Store, kind: str, digest: str, **content: Any) -> Path:
    """An artifact of which only the manifest counts."""
    folder = store.folder(kind, digest)
    folder.mkdir(parents=True)
    manifest = {"settings": {}, "inputs": {}, "files": {}, "metrics": {}} | content
    write_json(folder / "manifest.json", manifest | {"kind": kind, "digest": digest})
    return folder


def prepared(store: Store, digest: str, **splits: str) -> Path:
    """An image set: SHA-256 of pixels → split."""
    folder = made(store, "data.prepare", digest)
    rows = [{"id": sha, "split": split, "sha256": sha} for sha, split in splits.items()]
    write_json(folder / "check.json", {"images": rows})
    return folder


def test_scores_on_images_that_the_start_has_seen_are_called_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "ws")
    prepared(store, "old", a="train", b="validation", c="test")
    first = made(store, "segmenter.train", "t1", inputs={"images": "old"})
    made(store, "segmenter.start", "s1", settings={"model": str(first)}, inputs={"model": "x"})
    prepared(store, "new", d="train")
    again = made(store, "segmenter.train", "t2", inputs={"images": "new", "start": "s1"})
    assert images_seen(again) == {"a", "b", "d"}
    card = tmp_path / "published"
    card.mkdir()
    write_json(card / "card.json", {SEEN: ["e"]})
    assert images_seen(card) == {"e"} and images_seen(tmp_path) == set()

    test = read_artifact(prepared(store, "test", a="test", b="test", z="test"))
    work = Work("start: somewhere/eyes", "segmenter.start", StartSettings(model=again))
    told = seen_before(work, [test])
    assert told.startswith("2 of 3 test images are among those that eyes was trained on")
    other = Work("start: eyes", "segmenter.start", StartSettings(model=card))
    assert seen_before(other, [test]) == "" and seen_before(None, [test]) == ""
