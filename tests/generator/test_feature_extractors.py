"""Feature extractors: their shapes, their sameness everywhere, and files that are not them."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from vesselforge.configs.errors import DataError
from vesselforge.engine.downloads import CACHE_VARIABLE
from vesselforge.generator.metrics import extractors
from vesselforge.generator.metrics.extractors import load_extractor, three_channels

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def noise(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)


class FakeInception(nn.Module):
    """Called as the official file is: `return_features` leaves out the last layer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        found = images.float().mean(dim=[1, 2, 3])[:, None]
        return found.expand(-1, self.features) if return_features else found


def saved(network, path):
    torch.jit.script(network).save(path)
    return path


def test_random_features_are_the_same_everywhere_and_at_every_size():
    first, again = load_extractor("random"), load_extractor("random")
    assert first.identity == again.identity == "random-vgg-5f6c0b82224927c7"
    for side in (16, 40, 128):
        images = noise(2, 3, side, side)
        found = first(images)
        assert found.shape == (2, 704)
        assert found.isfinite().all()
        assert torch.equal(found, again(images))
        # Rounding differs with the batch, which is no reason for different features.
        assert torch.allclose(found[1:], first(images[1:]), atol=1e-4)
    flat = first(torch.full((1, 3, 32, 32), 77, dtype=torch.uint8))
    assert flat.isfinite().all(), "the logarithm of a deviation of 0 has a floor"
    assert not any(p.requires_grad for p in first.parameters())


def test_random_features_see_colour_texture_and_place():
    extractor = load_extractor("random")
    image = noise(1, 3, 32, 32)
    base = extractor(image)
    blurred = nn.functional.avg_pool2d(image.float(), 3, 1, 1).to(torch.uint8)
    half = image.clone()
    half[..., :16] //= 2
    for other in (image // 2, blurred):
        assert (extractor(other) - base).abs().mean() > 0.05
    assert (extractor(half) - extractor(half.flip(-1))).abs().mean() > 0.02


def test_channels():
    grey, two, many = noise(2, 1, 4, 4), noise(2, 2, 4, 4), noise(2, 5, 4, 4)
    assert torch.equal(three_channels(grey), grey.repeat(1, 3, 1, 1))
    assert torch.equal(three_channels(two), two[:, :1].repeat(1, 3, 1, 1))
    assert torch.equal(three_channels(many), many[:, :3])
    assert torch.equal(three_channels(grey[0]), grey[0].repeat(3, 1, 1))
    extractor = load_extractor("random")
    pictures = noise(2, 4, 16, 16)
    assert torch.equal(extractor(pictures), extractor(pictures[:, :3]))


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A local server of a folder, taken for the place of the official file."""
    folder = tmp_path / "served"
    folder.mkdir()
    path = saved(FakeInception(2048), folder / "inception.pt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/inception.pt"
    monkeypatch.setattr(extractors, "INCEPTION_URL", url)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", sha256_of(path))
    yield server, path
    server.shutdown()
    server.server_close()


def test_the_official_file_is_fetched_once_and_checked(mirror, tmp_path):
    server, path = mirror
    assert load_extractor("inception")(noise(1, 3, 8, 8)).shape == (1, 2048)
    path.unlink()
    server.shutdown()
    load_extractor("inception")  # the second time it is on disk


def test_another_file_at_that_address_is_refused(mirror, tmp_path):
    _, path = mirror
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"could not be had .* put it into"):
        load_extractor("inception")
    assert not any((tmp_path / "cache").glob("*.pt")), "nothing half-trusted stays behind"


def test_offline(mirror):
    server, _ = mirror
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"features: inception needs .*features: random"):
        load_extractor("inception")
