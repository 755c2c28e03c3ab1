"""The published recipes, number by number; which batches can be divided."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from vesselforge.configs.stages.gan import GeneratorSettings, misfit

GPUS = (1, 2, 4, 8)
AUTO = {
    # resolution: channel_base, lr, batch, images per GPU, gamma and ema_kimg for 1, 2, 4, 8 GPUs
    32: (16384, 0.0025, (32, 64, 64, 64), (32, 32, 16, 8), (0.0064, 0.0032, 0.0032, 0.0032),
         (10, 20, 20, 20)),
    64: (16384, 0.0025, (32, 64, 64, 64), (32, 32, 16, 8), (0.0256, 0.0128, 0.0128, 0.0128),
         (10, 20, 20, 20)),
    128: (16384, 0.0025, (32, 64, 64, 64), (32, 32, 16, 8), (0.1024, 0.0512, 0.0512, 0.0512),
          (10, 20, 20, 20)),
    256: (16384, 0.0025, (16, 32, 64, 64), (16, 16, 16, 8), (0.8192, 0.4096, 0.2048, 0.2048),
          (5, 10, 20, 20)),
    512: (32768, 0.0025, (8, 16, 32, 64), (8, 8, 8, 8), (6.5536, 3.2768, 1.6384, 0.8192),
          (2.5, 5, 10, 20)),
    1024: (32768, 0.002, (4, 8, 16, 32), (4, 4, 4, 4), (52.4288, 26.2144, 13.1072, 6.5536),
           (1.25, 2.5, 5, 10)),
}  # fmt: skip


@pytest.mark.parametrize("resolution", AUTO)
def test_auto(resolution):
    base, lr, batches, per_gpu, gammas, ema = AUTO[resolution]
    for i, gpus in enumerate(GPUS):
        cfg = GeneratorSettings(preset="auto", resolution=resolution, processes=gpus)
        assert (cfg.batch, cfg.batch // gpus) == (batches[i], per_gpu[i])
        assert cfg.mbstd_group == min(per_gpu[i], 4)
        assert cfg.r1_gamma == pytest.approx(gammas[i], rel=1e-9)
        assert cfg.ema_kimg == ema[i]
        assert (cfg.channel_base, cfg.lr, cfg.ema_rampup) == (base, lr, 0.05)
        assert (cfg.mapping_layers, cfg.latent, cfg.channel_max) == (2, 512, 512)
        assert (cfg.conv_clamp, cfg.kimg, cfg.ada_kimg) == (256, 25000, 500)


@pytest.mark.parametrize(
    ("preset", "kimg", "batch", "group", "base", "lr", "gamma", "ema", "ramp", "mapping"),
    [
        ("stylegan2", 25000, 32, 4, 32768, 0.002, 10, 10, None, 8),
        ("paper256", 25000, 64, 8, 16384, 0.0025, 1, 20, None, 8),
        ("paper512", 25000, 64, 8, 32768, 0.0025, 0.5, 20, None, 8),
        ("paper1024", 25000, 32, 4, 32768, 0.002, 2, 10, None, 8),
    ],
)
def test_the_papers_recipes(preset, kimg, batch, group, base, lr, gamma, ema, ramp, mapping):
    cfg = GeneratorSettings(preset=preset)
    assert (cfg.kimg, cfg.batch, cfg.mbstd_group) == (kimg, batch, group)
    assert (cfg.channel_base, cfg.lr, cfg.r1_gamma) == (base, lr, gamma)
    assert (cfg.ema_kimg, cfg.ema_rampup, cfg.mapping_layers) == (ema, ramp, mapping)
    assert (cfg.latent, cfg.channel_max, cfg.conv_clamp) == (512, 512, 256)
    assert (cfg.r1_every, cfg.path_length_weight, cfg.style_mixing) == (16, 2, 0.9)


def test_adapt_few_has_the_networks_of_joint_small_and_learns_slowly():
    cfg = GeneratorSettings(preset="adapt-few", resolution=64, start_from="phantom-joint-64")
    made = GeneratorSettings(preset="joint-small", resolution=64, channel_max=128)
    networks = ("channels", "latent", "channel_base", "channel_max", "mapping_layers", "conv_clamp")
    for name in (*networks, "mbstd_group", "r1_gamma"):
        assert getattr(cfg, name) == getattr(made, name), name
    assert (cfg.channels, cfg.latent, cfg.channel_base) == ("rgb+mask", 64, 2048)
    assert (cfg.lr, cfg.lr_end, cfg.d_lr_ratio, cfg.freeze_d) == (0.0005, 1, 1, 4)
    assert (cfg.batch, cfg.kimg, cfg.ema_kimg) == (8, 20, 2)
    assert (cfg.augment, cfg.augment_pipe, cfg.ada_kimg) == ("ada", "bg", 50)
    assert (cfg.d_noise, cfg.d_noise_mask, cfg.d_noise_end) == (0.03, 0.15, 1)
    assert (cfg.path_length_weight, cfg.style_mixing, cfg.precision) == (0, 0, "bfloat16")


def test_adapt_few_without_a_mask_has_no_noise_on_it():
    cfg = GeneratorSettings(preset="adapt-few", channels="rgb", adapt=True)
    assert (cfg.d_noise, cfg.d_noise_mask) == (0.03, 0)
    with pytest.raises(ValidationError, match=r"d_noise_mask: 0.1 needs channels: rgb\+mask"):
        GeneratorSettings(preset="adapt-few", channels="rgb", d_noise_mask=0.1)


def test_what_is_set_beside_a_preset_wins():
    cfg = GeneratorSettings(preset="paper256", batch=16, lr=0.001)
    assert (cfg.batch, cfg.lr, cfg.mbstd_group, cfg.r1_gamma) == (16, 0.001, 8, 1.0)


@pytest.mark.parametrize(
    ("batch", "processes", "group", "words"),
    [
        (6, 1, 4, "must divide batch 6: set batch to 8, or mbstd_group to 1"),
        (8, 4, 4, "processes 4: set batch to 16, or processes to 2"),
        (2, 3, 4, "processes 3: set batch to 6, or processes to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_said_with_what_can(batch, processes, group, words):
    assert words in (misfit(batch, processes, group) or "")
    with pytest.raises(ValidationError, match="mbstd_group"):
        GeneratorSettings(batch=batch, processes=processes, mbstd_group=group)


@pytest.mark.parametrize(
    ("batch", "processes", "group"),
    [(8, 1, 4), (8, 2, 4), (12, 3, 4), (10, 3, 2), (3, 3, 1), (8, 1, 16), (64, 1, 32)],
)
def test_what_can_be_divided(batch, processes, group):
    assert misfit(batch, processes, group) is None


def test_advice_that_is_followed_works():
    for batch in range(1, 17):
        for processes in range(1, 5):
            for group in range(1, 9):
                if batch >= group and (found := misfit(batch, processes, group)):
                    advised = int(found.rpartition("set batch to ")[2].partition(",")[0])
                    assert "must divide" not in (misfit(advised, processes, group) or "")
