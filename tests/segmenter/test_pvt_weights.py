"""The official file of the encoder's weights: fetched once, checked, or refused."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from network_checks import one_block_a_stage
from safetensors.torch import save_file
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, ConfigError, DataError
from vesselforge.engine.downloads import CACHE_VARIABLE
from vesselforge.segmenter.networks import build, pvt
from vesselforge.segmenter.networks.pvt import PyramidEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> PyramidEncoder:
    """With one block per stage: the files stay small."""
    return one_block_a_stage(PyramidEncoder())


def tensors(encoder: PyramidEncoder) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.body.state_dict().items()}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(
    encoder: PyramidEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ThreadingHTTPServer, Path]]:
    """A local server of a weight file, in the official one's place."""
    path = tmp_path / "served" / "model.safetensors"
    path.parent.mkdir()
    content = {f"pvt_v2.{n}": torch.full_like(t, 0.25) for n, t in tensors(encoder).items()}
    save_file(content | {"classifier.bias": torch.zeros(9)}, path)
    handler = partial(Quiet, directory=str(path.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{path.name}"
    monkeypatch.setattr(pvt, "WEIGHTS_URL", url)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(pvt, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    yield server, path
    server.shutdown()
    server.server_close()


def test_official_weights_are_fetched_once_and_checked(
    encoder: PyramidEncoder, mirror: tuple[ThreadingHTTPServer, Path]
) -> None:
    server, path = mirror
    encoder.load_pretrained()
    path.unlink()
    server.shutdown()
    encoder.load_pretrained()  # the second time they are on disk
    assert all((t == 0.25).all() for t in tensors(encoder).values())


def test_another_networks_file_is_refused_and_nothing_changed(
    encoder: PyramidEncoder,
    mirror: tuple[ThreadingHTTPServer, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, path = mirror
    before = tensors(encoder)
    content = before | {"encoder.layers.3.layer_norm.bias": torch.zeros(3)}
    save_file(content, path)
    monkeypatch.setattr(pvt, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match=r"layers\.3\.layer_norm\.bias has shape \[3\]"):
        encoder.load_pretrained()
    assert all(torch.equal(t, before[name]) for name, t in tensors(encoder).items())


def test_another_file_at_that_address_is_refused(
    encoder: PyramidEncoder, mirror: tuple[ThreadingHTTPServer, Path], tmp_path: Path
) -> None:
    _, path = mirror
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"could not be had .*SHA|could not be had .*hash"):
        encoder.load_pretrained()
    assert not any((tmp_path / "cache").glob("*.safetensors"))


def test_offline_it_says_what_to_do_and_nothing_falls_back(
    mirror: tuple[ThreadingHTTPServer, Path],
) -> None:
    server, _ = mirror
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"unet-v2: pretrained needs .* or set pretrained: none"):
        build("unet-v2", pretrained=True)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'vesselforge\[pvt\]'"):
        build("unet-v2")
