"""The training step: divided over processes, conditional, resumed, warned."""

from __future__ import annotations

import json

import pytest
import torch
from generator_helpers import tiny, write_image_set

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.progress import Progress
from vesselforge.engine.torchrun.ranks import ProcessGroup
from vesselforge.generator.augment import AugmentPipe, permitted
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.networks.ops import minibatch_std
from vesselforge.generator.shards import Shard, shard_of
from vesselforge.generator.trained import network_kwargs
from vesselforge.generator.training.train import train
from vesselforge.generator.training.trainer import Trainer

pytestmark = pytest.mark.slow

CLASSES = torch.eye(3)


def new_trainer(cfg, noise=0.5, **options):
    """A trainer whose layer noise counts; conditional on three classes if the settings say so."""
    torch.manual_seed(0)
    kwargs_g, kwargs_d = network_kwargs(cfg, 3 if cfg.labels else 0)
    g, d = Generator(**kwargs_g), Discriminator(**kwargs_d)
    for name, parameter in g.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(noise)
    labels = CLASSES if cfg.labels else None
    return Trainer(cfg, g, d, labels=labels, **options)


def run(trainer, steps, batch=8):
    for _ in range(steps):
        torch.manual_seed(100 + trainer.step)
        real = torch.rand(batch, 3, 16, 16) * 2 - 1
        labels = CLASSES[torch.arange(batch) % 3] if trainer.settings.labels else None
        trainer.advance(real, labels)
    return trainer


def everything_on(**changes):
    values = {
        "batch": 8, "mbstd_group": 2, "labels": True, "style_mixing": 0.9, "augment_p": 0.5,
        "ada_kimg": 1.0, "augment_pipe": "bgc", "ema_rampup": 0, "ema_kimg": 0.02,
    }  # fmt: skip
    return tiny(**{**values, **changes})


def relative(a, b):
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-3))


def test_three_steps_and_three_are_six_bit_for_bit():
    cfg = everything_on()
    first, whole = run(new_trainer(cfg), 3), run(new_trainer(cfg), 6)
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    state = json.loads(json.dumps(first.state()))
    second = new_trainer(cfg, noise=0.0)
    second.restore(3, saved, state)
    run(second, 3)
    assert second.state() == whole.state()
    expected = whole.tensors()
    assert saved.keys() == expected.keys()
    for name, found in second.tensors().items():
        assert torch.equal(found, expected[name]), name


def test_two_processes_do_the_training_of_one(tmp_path):
    images = {"images": write_image_set(tmp_path / "images", count=8)}
    outcome = []
    for processes in (1, 2):
        out = tmp_path / f"by{processes}"
        out.mkdir()
        cfg = everything_on(labels=False, steps=12, processes=processes)
        train(cfg, images, out, Progress())
        tensors = [
            load_tensors(out / f"{name}.safetensors")[0]
            for name in ("generator", "training", "discriminator")
        ]
        outcome.append((tensors, (out / "log.jsonl").read_text().splitlines()))
    (one, log), (two, log_of_two) = outcome
    for expected, found in zip(one, two, strict=True):
        for name, tensor in found.items():
            assert relative(tensor, expected[name]) < 1e-5, name
    assert len(log) == len(log_of_two) > 1
    for line, line_of_two in zip(map(json.loads, log), map(json.loads, log_of_two), strict=True):
        assert line_of_two == pytest.approx(line, rel=1e-5, abs=5e-6)  # logged to six digits


@pytest.mark.parametrize(
    ("total", "group", "size"), [(8, 4, 1), (8, 2, 2), (12, 2, 3), (12, 4, 2), (10, 2, 3)]
)
def test_shards_are_whole_groups(total, group, size):
    x = torch.randn(total, 2, 4, 4)
    expected = minibatch_std(x, group, 1)
    seen = []
    for rank in range(size):
        shard = shard_of(total, group, ProcessGroup(rank, size))
        found = minibatch_std(shard.cut(x), group, 1)
        assert torch.allclose(found, shard.cut(expected), atol=1e-6)
        seen += shard.cut(torch.arange(total)).tolist()
    assert sorted(seen) == list(range(total))


def test_more_processes_than_images_of_the_path_length():
    empty = [shard_of(2, None, ProcessGroup(rank, 4)).empty for rank in range(4)]
    assert empty == [False, False, True, True]


def test_a_team_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="too few for processes 3: set batch to 12"):
        new_trainer(tiny(batch=8), ranks=ProcessGroup(0, 3))


def test_every_phase_reaches_every_parameter():
    trainer = new_trainer(everything_on(freeze_d=3))
    z, real, c = torch.randn(8, 8), torch.randn(8, 3, 16, 16), CLASSES[torch.arange(8) % 3]
    loss = trainer.loss
    for network, phase in (
        (trainer.generator, lambda: loss.generator_main(z, c)),
        (trainer.generator, lambda: loss.generator_regularise(z, c)),
        (trainer.discriminator, lambda: loss.discriminator_main(real, z, c, c)),
        (trainer.discriminator, lambda: loss.discriminator_regularise(real, c)),
    ):
        phase()
        missing = [name for name, p in network.named_parameters() if p.grad is None]
        assert not missing
        network.zero_grad(set_to_none=True)


def test_frozen_layers_keep_their_weights():
    trainer = new_trainer(tiny(freeze_d=2))
    before = {n: t.clone() for n, t in trainer.discriminator.state_dict().items()}
    run(trainer, 2, batch=4)
    after = trainer.discriminator.state_dict()
    changed = {n for n, t in before.items() if not torch.equal(t, after[n])}
    assert {"b16.conv1.weight", "b16.skip.weight", "b4.out.bias"} <= changed
    assert not {n for n in changed if n.startswith(("b16.fromrgb", "b16.conv0"))}
    assert "b16.conv0.weight" not in dict(trainer.discriminator.named_parameters())


def test_generated_images_get_labels_of_training_images(monkeypatch):
    cfg = everything_on(style_mixing=0.0)
    trainer, told = new_trainer(cfg), []
    mapping = trainer.generator.mapping
    monkeypatch.setattr(
        mapping, "forward",
        lambda z, c, forward=mapping.forward, **k: told.append(c) or forward(z, c, **k),
    )  # fmt: skip
    run(trainer, 2)
    assert all(any(torch.equal(row, one) for one in CLASSES) for c in told for row in c)
    assert len({tuple(c.flatten().tolist()) for c in told}) == len(told)  # phases draw anew


@pytest.mark.parametrize("setting", ["r1_gamma", "path_length_weight"])
def test_an_infinite_penalty_is_noticed(setting):
    trainer = run(new_trainer(tiny(**{setting: 1e300})), 1, batch=4)
    assert trainer.diverged


def test_strong_augmentation_is_said_once():
    said = []
    cfg = tiny(lr=1e-6, ada_kimg=0.02)
    trainer = new_trainer(cfg, say=said.append)
    trainer.discriminator.b4.out.bias.data.fill_(50.0)
    run(trainer, 4, batch=4)
    assert trainer.p == pytest.approx(0.8)
    assert "step 4 the augmentation probability p is 0.80" in said[0]
    assert "r_t 1.00, target 0.6" in said[0]
    assert "freeze_d" in said[0]
    again = new_trainer(cfg, say=said.append)
    again.restore(4, trainer.tensors(), trainer.state())
    run(again, 4, batch=4)
    assert len(said) == 1


def test_a_strong_fixed_augmentation_is_said_too():
    said = []
    run(new_trainer(tiny(augment="fixed", augment_p=0.8), say=said.append), 4, batch=4)
    assert "probability p is 0.80" in said[0]


# What images must not undergo.


def maps(pipe):
    torch.manual_seed(0)
    return pipe._geometry(200, 16, 16)[:, :2, :2]


def test_images_that_must_not_be_mirrored():
    assert (torch.linalg.det(maps(AugmentPipe(permitted("bg", mirror=True)))) < 0).any()
    assert (torch.linalg.det(maps(AugmentPipe(permitted("bg", mirror=False)))) > 0).all()


@pytest.mark.parametrize("pipe", ["noise", "cutout", "color", "geom", "filter"])
def test_a_shard_is_augmented_as_in_the_batch(pipe):
    augment, images = AugmentPipe(permitted(pipe, mirror=True)), torch.randn(6, 3, 24, 24)
    rows = torch.tensor([4, 1])
    torch.manual_seed(5)
    expected = augment(images)[rows]
    torch.manual_seed(5)
    found = augment(images[rows], shard=Shard(6, rows))
    assert torch.allclose(found, expected, atol=2e-5)
