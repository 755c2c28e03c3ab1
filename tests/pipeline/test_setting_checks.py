"""Settings of one stage that those of another, or the images, make impossible: refused before any
work, by `run`, `compare` and `retrain` alike, in a dry run, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.choices import NETWORKS
from vesselforge.configs.errors import ConfigError, DataError, UserError
from vesselforge.configs.load import SHIPPED, load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.input_checks import check_inputs, check_study

SMALL = {"phantom": {"train": 4, "validation": 2, "test": 2, "size": 64}}


def run(text: str = "", data: dict[str, Any] | None = None) -> PipelineConfig:
    values = {"data": data or SMALL, **(yaml.safe_load(text) or {})}
    return PipelineConfig.model_validate(values)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sample: {label: 1}", r"sample\.label: found 1, but the generator knows no classes"),
        ("sample: {count: 1}", r"sample\.count: found 1, expected at least 2: samples are scored"),
        ("generator: {labels: true}", r"generator\.labels: true, but 4 training images have no"),
        ("generator: {resolution: 128}", r"generator\.resolution: found 128, but image .* 64 x 64"),
        ("generator: {preset: adapt-few}", r"generator\.freeze_d: found 4, .* set generator"),
        (
            "generator: {start_from: phantom-joint-64, channels: rgb, resolution: 32}",
            r"set generator\.resolution: 64, generator\.channels: rgb\+mask; or set .*adapt: true",
        ),
        ("source: joint", r"needs a generator that draws masks; found generator\.channels: rgb"),
        ("source: unlabelled", r"source unlabelled: no training image is left without labels"),
        (
            "source: {kind: phantom, labels: own}\npseudo_label: {pixel_weights: certainty}",
            r"source phantom: labels: own asks no teacher, found pixel_weights: certainty",
        ),
        ("teacher: {source: pool, pad: 32}", r"pad: found 32, but image .* has a side of 64"),
        ("student: {source: pool, pad: 32}", r"pad: found 32, but image .* has a side of 64"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_do_is_refused_first(settings: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        check_inputs(run(settings), tmp_path)
    assert "\n" not in str(refused.value)
    assert not any((tmp_path / "store").glob("*.*/*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("order: mixed\nstudent: {batch: 1}", "found a batch of 1; set pretrain.batch"),
        ("iterate: {rounds: 3}\nsample: {seed: 4294967000, count: 100}", "seeds above 2^32"),
        ("teacher: {network: unet-18, drop: 0.1}", "unet-18 has no DropBlock"),
        ("teacher: {head_weights: [1, 1]}", "sa-unet has 1 output; give one weight"),
    ],
)
def test_settings_that_contradict_each_other_are_no_config(settings: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("^", r"\^")):
        run(settings)


def test_what_is_not_used_is_not_asked_for(tmp_path: Path) -> None:
    check_inputs(run("source: none\nsample: {label: 1, count: 1}"), tmp_path)
    check_inputs(run("sample: {label: 1}\ngenerator: {resolution: 128}"), tmp_path, "teacher")
    check_inputs(run("sample: {count: 1}"), tmp_path, "samples")
    check_inputs(run("source: phantom\ngenerator: {resolution: 128}"), tmp_path)
    check_inputs(run("generator: {resolution: 128, presentation: full}"), tmp_path)
    adapted = "{start_from: phantom-joint-64, channels: rgb, resolution: 32, adapt: true}"
    check_inputs(run(f"generator: {adapted}"), tmp_path)


def test_images_of_which_there_are_too_few(tmp_path: Path) -> None:
    few = {"phantom": SMALL["phantom"] | {"test": 0}}
    with pytest.raises(DataError, match=r"phantom\.test: found no test image, expected some"):
        check_inputs(run(data=few), tmp_path)
    check_inputs(run(data=few), tmp_path, "generator")
    one = {"phantom": SMALL["phantom"] | {"train": 1}}
    with pytest.raises(DataError, match="found 1 training image, expected at least 2: whole"):
        check_inputs(run("source: phantom", one), tmp_path)


def test_the_class_of_samples_is_one_of_the_images(tmp_path: Path) -> None:
    for kind in ("healthy", "ill"):
        (tmp_path / "eyes" / kind).mkdir(parents=True)
        for number in range(4):
            picture = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "eyes" / kind / f"{kind}{number}.png")
    data = {"name": "images", "root": tmp_path / "eyes"}

    def check_label(label: int) -> None:
        settings = f"generator: {{labels: true}}\nsample: {{label: {label}}}"
        check_inputs(run(settings, data), tmp_path, "samples")

    check_label(0)
    check_label(1)
    for label in (2, -1):
        told = rf"found {label}, but .* 2 classes \(healthy, ill\); expected 0 to 1"
        with pytest.raises(ConfigError, match=told):
            check_label(label)
    with pytest.raises(ConfigError, match=r"rgb\+mask needs images with vessel masks"):
        check_inputs(run("generator: {channels: rgb+mask}", data), tmp_path, "generator")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"counts": [0, 1]}}, "arms: found 1 image of stylegan2 at most"),
        ({"synthetic": {"pool": 2}, "arms": {"counts": [100]}}, "expected at most 80, 40 pools"),
        (
            {"synthetic": {"pool": 1}, "pseudo_label": {"reject_copies": True}},
            r"synthetic\.pool: found 1, expected at least 2: reject_copies",
        ),
        ({"sample": {"label": 0}}, r"sample\.label: found 0, but the generator knows no classes"),
        ({"generator": {"resolution": 128}}, r"generator\.resolution: found 128"),
        (
            {"generator": {"presentation": "full"}, "arms": {"real_images": [1, 4]}},
            "found 1 training image, expected at least 2",
        ),
        (
            {"statistics": {"endpoints": [{"name": "x", "sets": ["phantom"], "observer": "2nd"}]}},
            "found the observer '2nd', expected one of phantom's: ",
        ),
    ],
)
def test_what_a_study_cannot_do_is_refused_first(
    changes: dict[str, Any],
    message: str,
    tiny_study: Callable[..., StudyConfig],
    tmp_path: Path,
) -> None:
    check_study(tiny_study(), tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        check_study(tiny_study(**changes), tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "change", "message"),
    [
        (("run", "quickstart", "--dry-run"), "sample.label=1", "sample.label: found 1"),
        (("run", "quickstart"), "sample.count=1", "sample.count: found 1"),
        (("run", "quickstart", "--dry-run"), "teacher.lr=1e999", "teacher.lr: input should be"),
        (("compare", "compare-quickstart", "--dry-run"), "sample.label=1", "sample.label: found 1"),
        (("compare", "compare-quickstart"), "arms.counts=[1]", "arms: found 1 image of joint"),
        (("retrain", "quickstart"), "sample.label=1", "sample.label: found 1"),
        (("retrain", "quickstart"), "evaluate.bootstrap=nan", "evaluate.bootstrap: input should"),
    ],
)  # fmt: skip
def test_the_command_line_says_so_in_one_line(
    words: Sequence[str], change: str, message: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(main, [*words, "--set", change, "--workspace", str(tmp_path)])
    assert done.exit_code == 2, done.output
    assert message in done.stderr.splitlines()[-1]
    assert not any((tmp_path / "store").glob("*.*/*"))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_shipped_and_needs_no_download_is_sound(path: Path, tmp_path: Path) -> None:
    if path.stem.startswith("compare"):
        study = load(StudyConfig, path)
        if study.data.name == "phantom":
            check_study(study, tmp_path)
        return
    config = load(PipelineConfig, path)
    if config.data.name == "phantom":
        check_inputs(config, tmp_path, "run" if config.data.phantom.test else "scores")


@pytest.mark.parametrize("name", [*NETWORKS])
def test_what_is_said_of_networks_is_so(name: str) -> None:
    from vesselforge.segmenter.networks import build

    if name in ("unet-v2", "sa2-net"):  # large; what takes `drop` says so in its arguments
        return
    if NETWORKS[name].drops:
        build(name, drop=0.1)
    else:
        with pytest.raises(ConfigError, match="has no DropBlock"):
            build(name, drop=0.1)
