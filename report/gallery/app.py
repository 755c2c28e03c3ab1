"""The pages of the gallery and what they ask for. They say the same to whoever asks twice: all that
changes anything is an upload, which is kept in memory."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from vesselforge.configs.errors import UserError
from vesselforge.report.gallery.collection import (
    ALL,
    NEAREST,
    PAIR,
    open_set,
    sets_of,
)
from vesselforge.report.gallery.workbench import KEPT, Workbench
from vesselforge.report.page import templates

HERE = Path(__file__).parent
FILES = {"page.css": HERE.parent, "gallery.css": HERE, "gallery.js": HERE}
PAGE = 24
"""Images on a page."""
HOSTS = ["127.0.0.1", "localhost"]
"""Names of this server: under another, it would be a page of someone else's that asks."""
MOST_BYTES = 64 * 2**20
"""Of an upload."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Next = Callable[[Request], Awaitable[Response]]


class TooLarge(UserError):
    """An upload has more bytes than we take."""


def gallery_app(workspace: Path, run: Path | None) -> FastAPI:
    """The gallery of a run, by its folder; without one, of the networks that come with VesselForge
    alone. It answers under HOSTS alone."""
    stopping = Event()
    bench = Workbench(workspace, run, stopping.is_set)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        stopping.set()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_guarded)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    app.exception_handler(RequestValidationError)(_not_understood)
    app.exception_handler(UserError)(lambda _, error: PlainTextResponse(str(error), 400))

    @app.exception_handler(404)
    async def unknown(request: Request, _: Exception) -> Response:
        fault = f"There is no page {request.url.path!r:.80} here; the pages are linked above"
        return answer("layout", {}, UserError(fault), 404)

    def answer(
        view: str, facts: dict[str, Any], error: UserError | None = None, fault: int = 400
    ) -> HTMLResponse:
        template = templates().get_template(f"gallery/{view}.html.j2")
        told = {"run": run and run.name, "view": view, "error": str(error or "")}
        status = 200 if error is None else 413 if isinstance(error, TooLarge) else fault
        return HTMLResponse(template.render(facts | told), status)

    @app.get("/", response_model=None)
    def images(set: str = "", shown: str = ALL, sort: str = "", page: int = 1) -> Response:
        if run is None:
            return RedirectResponse("/draw")
        try:
            return answer("images", _images(run, set, shown, sort, page))
        except UserError as error:
            return answer("images", {}, error)

    @app.get("/images/{digest}/{number}/{layer}")
    def layer(digest: str, number: int, layer: str) -> Response:
        found = run and open_set(run, digest).picture(number, layer)
        return _picture(found or None, "image/jpeg" if layer == PAIR else "image/png")

    @app.get("/draw")
    def draw(seeds: str = "0-3", psi: str = "0.7", label: str = "") -> HTMLResponse:
        facts: dict[str, Any] = {"seeds": seeds, "psi": psi, "label": label}
        facts |= {"used": bench.generator, "classes": bench.classes}
        try:
            return answer("draw", facts | {"drawn": bench.draw(seeds, psi, label)})
        except UserError as error:
            return answer("draw", facts, error)

    @app.get("/drawn/{kind}.png")
    def drawn(kind: str, seed: str, psi: str = "0.7", label: str = "") -> Response:
        one = bench.draw(seed, psi, label)[0]
        return _picture({"image": one.image, "mask": one.mask}.get(kind))

    @app.get("/predict")
    def predict(number: int = 0) -> HTMLResponse:
        return answer("predict", predicted(number))

    def predicted(number: int) -> dict[str, Any]:
        facts = {"used": bench.segmenter, "most": MOST_BYTES, "kept": KEPT}
        return facts | {"number": number, "found": bench.predicted(number)}

    @app.post("/predict")
    async def upload(request: Request, name: str = "image") -> Response:
        try:
            number = await run_in_threadpool(bench.predict, name, await _received(request))
        except UserError as error:
            return answer("predict", predicted(0), error)
        return RedirectResponse(f"/predict?number={number}", 303)

    @app.get("/predicted/{number}/{kind}.png")
    def prediction(number: int, kind: str) -> Response:
        found = bench.predicted(number)
        return _picture(found.pictures.get(kind) if found else None)

    @app.get("/files/{name}")
    def file(name: str) -> Response:
        return FileResponse(FILES[name] / name) if name in FILES else _picture(None)

    return app


def _images(run: Path, digest: str, shown: str, sort: str, number: int) -> dict[str, Any]:
    """What the page of images shows. number: of the page; one that there is not is the nearest."""
    sets = sets_of(run)
    if not sets:
        return {"sets": sets}
    digest = digest or next(iter(sets))
    chosen = open_set(run, digest)
    found = chosen.chosen(shown, sort)
    pages = max(1, math.ceil(len(found) / PAGE))
    number = min(max(1, number), pages)
    asked = {"set": digest, "shown": shown, "sort": sort}
    counts = {shown: 0} | chosen.counts
    return {
        "sets": sets,
        "asked": asked,
        "chosen": chosen,
        "counts": dict(sorted(counts.items())),
        "samples": found[(number - 1) * PAGE : number * PAGE],
        "count": len(found),
        "number": number,
        "pages": pages,
        "link": lambda n: "?" + urlencode(asked | {"page": n}),
        "nearest": NEAREST,
        "pair": PAIR,
        "problems": list(dict.fromkeys(chosen.view.problems)),
    }


async def _received(request: Request) -> bytes:
    """The body of a request. Raises TooLarge, and takes no more, when it has too many bytes."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise TooLarge(
                f"found an upload of more than {MOST_BYTES // 2**20} MiB, expected an image file "
                "of at most that; `vesselforge segmenter predict` takes larger ones"
            )
    return bytes(content)


async def _guarded(request: Request, following: Next) -> Response:
    """Nothing is done for other pages: a browser says whose page it is that sends something."""
    origin = request.headers.get("Origin")
    own = (None, f"http://{request.headers.get('Host')}")  # none: it is no page that asks
    if request.method not in ("GET", "HEAD") and origin not in own:
        text = f"found the origin {origin!r:.80}, expected this server's own page"
        return PlainTextResponse(text, 403, HEADERS)
    found = await following(request)
    found.headers.update(HEADERS)
    return found


def _picture(content: bytes | None, kind: str = "image/png") -> Response:
    if content is None:
        return PlainTextResponse("there is no such picture, or it is damaged", 404)
    return Response(content, media_type=kind)


async def _not_understood(_: Request, error: Exception) -> Response:
    """An address that we did not make."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    text = f"{first['loc'][-1]}: found {first['input']!r:.80}: {first['msg']}"
    return PlainTextResponse(text, 400)
