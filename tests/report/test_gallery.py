"""The pages of `vesselforge browse`: what they show, and what they refuse."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_pictures import fundus, png
from gallery_run import CORNER, COUNT, HOSTILE, REAL, SIZE, gallery_run
from page_reader import Page
from PIL import Image
from starlette.testclient import TestClient

from vesselforge.configs.settings import SampleSettings
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.generator.sampling.sample_set import draw_album
from vesselforge.report.gallery import app as gallery
from vesselforge.report.gallery import workbench
from vesselforge.report.gallery.app import gallery_app
from vesselforge.report.gallery.collection import sets_of

HOST = "http://127.0.0.1:4300"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery_run(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def client(run: Path) -> TestClient:
    return TestClient(gallery_app(run.parents[1], run), HOST)


@pytest.fixture
def at(run: Path) -> str:
    (digest,) = sets_of(run)
    return f"/images/{digest}"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def names(text: str) -> list[str]:
    """Of the samples on a page, in order."""
    return re.findall(r"<h2 id=\"t\d+\">(.*?)</h2>", text)


def refusal(text: str) -> str:
    found = re.findall(r"<strong>This cannot be shown</strong><p>(.*?)</p>", text, re.DOTALL)
    assert len(found) == 1 and "\n" not in found[0]
    return str(found[0])


def test_images_come_a_page_at_a_time(client: TestClient) -> None:
    first, last = client.get("/").text, client.get("/?page=2").text
    assert len(names(first)) == 24 and len(names(first) + names(last)) == COUNT
    assert "Page 1 of 2" in first and "page=2" in first
    assert client.get("/?page=99").text == last and client.get("/?page=-1").text == first
    assert client.get("/?page=x").status_code == 400
    assert Page(first).faults == []


def test_rejected_ones_are_found_by_their_reason(client: TestClient) -> None:
    text = client.get("/").text
    for option in ("all (30)", "kept (20)", "rejected (10)", "rejected: copies (5)"):
        assert f">{option}</option>" in text
    rejected = client.get("/?shown=rejected").text
    assert len(names(rejected)) == 10 and "Page 1" not in rejected
    assert set(names(rejected)).isdisjoint(names(client.get("/?shown=kept").text))
    copies = client.get("/?shown=rejected:copies").text
    assert names(copies)[1:] == ["seed6", "seed12", "seed18", "seed24"]
    assert '<span class="rejected">rejected</span>: copies 21' in copies
    none = client.get("/?shown=rejected:agreement")  # of another set, say
    assert none.status_code == 200 and names(none.text) == []
    wrong = client.get("/?shown=odd")
    assert wrong.status_code == 400 and "found &#39;odd&#39;, expected all" in refusal(wrong.text)


def test_images_are_sorted_and_those_without_the_figure_come_last(client: TestClient) -> None:
    falling = names(client.get("/?sort=-confidence").text)
    assert falling[:2] == ["seed29", "seed28"]
    for sort in ("confidence", "-confidence"):
        assert names(client.get(f"/?sort={sort}&page=2").text)[-1] == "seed7"


def test_names_from_files_are_escaped_everywhere(client: TestClient) -> None:
    for path in ("/", "/draw"):
        text = client.get(path).text
        assert HOSTILE not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    said = client.post("/predict", params={"name": HOSTILE}, content=b"x")
    assert HOSTILE not in said.text and "&lt;img" in refusal(said.text)


def test_a_sample_is_beside_its_label_and_its_nearest_training_image(
    client: TestClient, at: str
) -> None:
    with Image.open(io.BytesIO(client.get(f"{at}/3/pair").content)) as pair:
        assert pair.format == "JPEG" and pair.width > 2 * pair.height > 2 * SIZE
    mask = client.get(f"{at}/3/mask")
    assert mask.headers["Content-Type"] == "image/png"
    assert mask.content == png(fundus(1)[1][:SIZE, :SIZE] * 255)
    with Image.open(io.BytesIO(client.get(f"{at}/3/nearest").content)) as nearest:
        y, x = CORNER
        assert (np.asarray(nearest) == fundus(0)[0][y : y + SIZE, x : x + SIZE]).all()
    text = client.get("/?sort=distance").text
    assert names(text)[0] == "seed3" and text.count("Nearest training image") == 1
    assert "from row 40 and column 24 on; alike when mirrored or turned" in text
    assert "Nearer than comes by chance" in text and REAL not in text


def test_what_is_not_there_or_damaged_is_not_shown(client: TestClient, run: Path, at: str) -> None:
    for path in ("4/nearest", "4/soft", "99/image", "-1/image", "4/odd", "4/index.json"):
        assert client.get(f"{at}/{path}").status_code == 404
    assert client.get("/images/0123/4/image").status_code == 400
    assert "no set of images &#39;0123&#39;" in refusal(client.get("/?set=0123").text)
    (file,) = run.parents[1].glob("store/segmenter.pseudo-label/*/images/5.png")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert client.get(f"{at}/5/image").status_code == 404
    assert "images/5.png of segmenter.pseudo-label" in client.get("/").text
    file.write_bytes(whole)
    assert client.get(f"{at}/5/image").content == whole


def test_images_are_drawn_as_the_command_draws_them(
    client: TestClient, run: Path, tmp_path: Path
) -> None:
    text = client.get("/draw?seeds=4,9&psi=0.5&label=1").text
    assert "2 images drawn in 0." in text and Page(text).faults == []
    settings = SampleSettings(psi=0.5, label=1)
    generator = run.parents[1] / "store" / "generator.train" / "made"
    draw_album(generator, tmp_path / "out", [4, 9], settings, Progress())
    for kind, folder in (("image", ""), ("mask", "masks")):
        asked = f"/drawn/{kind}.png?seed=9&amp;psi=0.5&amp;label=1"
        assert f'href="{asked}"' in text
        file = tmp_path / "out" / folder / "seed00000009.png"
        assert client.get(asked.replace("&amp;", "&")).content == file.read_bytes()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("psi=9", "psi"),
        ("psi=x", "psi"),
        ("seeds=3-1", "goes down"),
        ("seeds=0-99", "found 100 seeds, expected at most 16"),
        ("label=7", "no class 7"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(
    client: TestClient, query: str, said: str
) -> None:
    answer = client.get(f"/draw?{query}")
    assert answer.status_code == 400 and said in refusal(answer.text)
    assert 'name="psi"' in answer.text  # to try again


def test_vessels_are_found_in_an_upload(
    client: TestClient, run: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "KEPT", 1)
    before = sorted(run.parents[1].rglob("*"))
    content = png(fundus(5)[0])
    answer = client.post("/predict?name=eye.png", content=content, headers={"Origin": HOST})
    assert answer.status_code == 200 and answer.history[0].status_code == 303
    assert re.search(r"Vessels in [\d.]+ % of the field of view", answer.text)
    assert "96 × 96 pixels" in answer.text and Page(answer.text).faults == []
    assert "Vessels found by the teacher of mine" in answer.text
    number = answer.url.params["number"]
    for kind in ("overlay", "probability", "mask"):
        picture = client.get(f"/predicted/{number}/{kind}.png")
        with Image.open(io.BytesIO(picture.content)) as shown:
            assert shown.size == (96, 96)
    assert client.get(f"/predicted/{number}/odd.png").status_code == 404
    client.post("/predict", content=content)
    assert client.get(f"/predicted/{number}/mask.png").status_code == 404
    assert "is forgotten" in client.get(f"/predict?number={number}").text
    assert sorted(run.parents[1].rglob("*")) == before


def test_a_bad_upload_is_refused_in_a_line(
    client: TestClient, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.post("/predict?name=notes.txt", content=b"no image")
    said = refusal(answer.text)
    assert answer.status_code == 400 and said.startswith("notes.txt: cannot be read")
    assert str(temporary) not in said
    assert client.post("/predict?name=eye.gz", content=b"no gzip").status_code == 400
    monkeypatch.setattr(gallery, "MOST_BYTES", 1000)
    answer = client.post("/predict", content=iter([b"x" * 600, b"x" * 600]))  # no length is told
    assert answer.status_code == 413 and "found an upload of more than" in refusal(answer.text)


def test_it_answers_no_other_page(client: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example"):
        for method in ("GET", "POST"):
            asked = client.request(method, "/predict", headers={"Host": host}, content=b"x")
            assert asked.status_code == 400 and "host" in asked.text
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:8000",
        "https://127.0.0.1:4300",
    ):
        asked = client.post("/predict", headers={"Origin": origin}, content=b"x")
        assert asked.status_code == 403 and "expected this server's own page" in asked.text
    localhost = {"Host": "localhost:4300", "Origin": "http://localhost:4300"}
    assert "cannot be read" in client.post("/predict", headers=localhost, content=b"x").text
    for path in ("/docs", "/openapi.json", "/files/app.py", "/files/..%2fpage.py"):
        assert client.get(path).status_code == 404


def test_an_unknown_address_is_a_page_that_leads_back(client: TestClient) -> None:
    asked = client.get("/nowhere/<b>", headers={"Accept": "text/html"})
    assert asked.status_code == 404 and "text/html" in asked.headers["Content-Type"]
    assert "There is no page" in asked.text and "<b>" not in asked.text
    assert 'href="/"' in asked.text and "default-src" in asked.headers["Content-Security-Policy"]


def test_nothing_comes_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/draw", "/predict"):
        page = client.get(path)
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        for _, attributes in Page(page.text).elements:
            for name in ("src", "href", "action"):
                assert re.match(r"/|\?|data:,$", attributes.get(name) or "/")
    for file in ("page.css", "gallery.css", "gallery.js"):
        text = client.get(f"/files/{file}").text
        assert text and "//" not in re.sub(r"(?m)^// .*$|; // .*$", "", text)


def test_without_a_run_there_are_the_networks_that_come_along(tmp_path: Path) -> None:
    client = TestClient(gallery_app(tmp_path, None), HOST)
    page = client.get("/")
    assert page.url.path == "/draw" and "Images drawn by phantom-joint-64" in page.text
    assert ">Images</a>" not in page.text
    assert "Vessels found by sa-unet-drive" in client.get("/predict").text
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_images_and_networks_says_so(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "new"
    run.mkdir(parents=True)
    record = {"status": "running", "config": {}, "artifacts": {}, "steps": []}
    client = TestClient(gallery_app(tmp_path, run), HOST)
    write_json(run / "run.json", record)
    assert "has no synthetic images" in client.get("/").text
    drawn, found = client.get("/draw").text, client.get("/predict").text
    assert "no generator so far" in drawn and "So phantom-joint-64 is used here" in drawn
    assert "no model to use yet" in found and "So sa-unet-drive is used here" in found
    write_json(run / "run.json", record | {"flow": "compare-ratios"})
    study = TestClient(gallery_app(tmp_path, run), HOST)
    assert "a study has no model that serves" in study.get("/predict").text
    write_json(run / "run.json", {})
    assert "status: found no str" in refusal(client.get("/").text)
