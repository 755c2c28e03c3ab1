"""Cached features: read when they are what was asked for, made anew in every other case."""

from __future__ import annotations

import threading

import pytest
import torch

from vesselforge.generator.metrics.feature_cache import FeatureCache

KEY = {"set": "abc", "views": "drawn", "seed": 0}


class Maker:
    def __init__(self, seed=0):
        self.calls = 0
        self.features = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))

    def __call__(self):
        self.calls += 1
        return self.features


def only_file(folder):
    (path,) = folder.glob("*.safetensors")
    return path


def test_made_once_for_a_key(tmp_path):
    maker, cache = Maker(), FeatureCache(tmp_path / "cache")
    for _ in range(2):
        assert torch.equal(cache.get(KEY, maker), maker.features)
    assert maker.calls == 1
    for change in ({"set": "other"}, {"seed": 1}, {"extractor": "x"}):
        cache.get({**KEY, **change}, maker)
    assert maker.calls == 4


def test_nothing_is_kept_without_a_folder():
    maker = Maker()
    for _ in range(2):
        FeatureCache(None).get(KEY, maker)
    assert maker.calls == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage", "other key"])
def test_damage_is_noticed(tmp_path, damage):
    maker, cache = Maker(), FeatureCache(tmp_path)
    cache.get(KEY, maker)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-4])
    elif damage == "flip":  # a bit of the last number: the file stays readable
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "garbage":
        path.write_bytes(b"hello")
    else:
        path.unlink()
        cache.get({**KEY, "seed": 7}, Maker(7))
        only_file(tmp_path).rename(path)
    assert torch.equal(cache.get(KEY, maker), maker.features)
    assert maker.calls == 2
    assert cache.get(KEY, maker) is not None
    assert maker.calls == 2, "the file was mended"


def test_two_writers(tmp_path):
    maker, found = Maker(), []
    together = threading.Barrier(2)

    def make():
        together.wait()
        return maker.features.clone()

    def work():
        found.append(FeatureCache(tmp_path).get(KEY, make))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(features, maker.features) for features in found)
    assert torch.equal(FeatureCache(tmp_path).get(KEY, make), maker.features)
    assert len(list(tmp_path.iterdir())) == 1
