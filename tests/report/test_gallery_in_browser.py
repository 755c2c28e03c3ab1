"""The gallery in a real browser, by keyboard, in narrow windows and in the dark; skipped where
there is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from browser import PROGRAM, Browser, chromium
from fake_pictures import fundus, png
from gallery_run import gallery_run

from vesselforge.report.gallery.app import gallery_app

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome on PATH"),
    pytest.mark.slow,
]
CONTROLS = """[...document.querySelectorAll("a[href], button, input, select, [tabindex='0']")]
    .filter((each) => each.checkVisibility() && each.type !== "hidden")"""
PATHS = ("/", "/draw", "/predict")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gallery that is served from a thread."""
    run = gallery_run(tmp_path_factory.mktemp("gallery"))
    config = uvicorn.Config(gallery_app(run.parents[1], run), log_level="warning", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
def test_the_keyboard_reaches_every_control(browser: Browser, url: str, path: str) -> None:
    browser.window(1200)
    browser.open(url + path)
    count = browser.js(f"{CONTROLS}.length")
    for _ in range(count + 1):  # the file field is two stops
        browser.press("Tab")
        browser.js("document.activeElement.dataset.reached = 1")
    assert count > 4
    assert browser.js(f"{CONTROLS}.filter((each) => !each.dataset.reached).length") == 0


def test_figures_open_and_close_by_keyboard(browser: Browser, url: str) -> None:
    browser.open(f"{url}/?sort=distance")
    browser.js("document.querySelector('.sample').focus()")
    browser.press("Enter")
    assert "Nearest training image" in browser.js(
        "document.querySelector('dialog[open]').innerText"
    )
    browser.until("[...document.querySelectorAll('dialog[open] img')].every((i) => i.naturalWidth)")
    assert browser.js("document.querySelectorAll('dialog[open] img.pixels').length") == 3
    browser.press("Escape")
    browser.until("!document.querySelector('dialog[open]')")
    assert browser.js("document.activeElement.className") == "sample"


@pytest.mark.parametrize("path", [*PATHS, "/?shown=odd", "/draw?seeds=0-99"])
def test_nothing_is_wider_than_a_narrow_window(browser: Browser, url: str, path: str) -> None:
    browser.window(400)
    browser.open(url + path)
    browser.js("document.querySelector('.sample')?.click()")
    assert browser.js("document.documentElement.scrollWidth") <= 400
    assert browser.js("document.querySelector('dialog[open]')?.scrollWidth ?? 0") <= 400


def test_it_is_dark_where_the_system_is(browser: Browser, url: str) -> None:
    browser.open(url + "/draw")
    brightness = {}
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        styles = (f"getComputedStyle(document.querySelector('{e}'))" for e in ("body", "input"))
        ground, field = (browser.js(f"{each}.backgroundColor.match(/\\d+/)[0]") for each in styles)
        ink = browser.js("getComputedStyle(document.body).color.match(/\\d+/)[0]")
        brightness[scheme] = int(ground), int(field), int(ink)
    browser.colours("light")
    assert [value > 127 for value in brightness["light"]] == [True, True, False]
    assert [value > 127 for value in brightness["dark"]] == [False, False, True]


def test_the_slider_draws_again(browser: Browser, url: str) -> None:
    browser.open(url + "/draw?seeds=3")
    before = browser.js("document.querySelector('.drawn img').src")
    browser.js("document.getElementById('psi').focus()")
    browser.press("ArrowRight")
    browser.until("location.search.includes('psi=0.75')")
    assert browser.js("document.querySelector('output').textContent") == "0.75"
    after = browser.js("document.querySelector('.drawn img').src")
    assert after == before.replace("psi=0.7&", "psi=0.75&") != before
    browser.until("document.querySelector('.drawn img').naturalWidth === 16")


def test_an_upload_is_shown_and_nothing_comes_from_elsewhere(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    browser.events.clear()
    for path in PATHS:
        browser.open(url + path)
    eye, text = tmp_path / "eye.png", tmp_path / "notes.png"
    eye.write_bytes(png(fundus(5)[0]))
    text.write_text("no image")
    browser.choose("input[type=file]", eye)
    browser.js("document.querySelector('form button').click()")
    browser.until("document.querySelectorAll('.maps img').length === 3")
    browser.until("[...document.querySelectorAll('.maps img')].every((i) => i.naturalWidth === 96)")
    assert "number=1" in browser.js("location.search")
    assert browser.js("document.documentElement.scrollWidth <= innerWidth")
    assert browser.complaints == []
    assert all(address.startswith((url, "data:", "about:")) for address in browser.asked)
    browser.choose("input[type=file]", text)
    browser.js("document.querySelector('form button').click()")
    browser.until("document.querySelector('#result .note')")
    assert "notes.png: cannot be read" in browser.js("document.querySelector('#result').innerText")
