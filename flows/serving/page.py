"""Prefect's server and its page, and beside it the reports of this folder's workspace.

`python -m vesselforge.flows.serving.page`; ends when its parent does.
"""

from __future__ import annotations

import base64
import re
import secrets
import signal
from typing import TYPE_CHECKING

from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.pipeline.record import run_folder, workspace_folder

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ADDRESS = "/reports/{name}"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
APART = {"Content-Security-Policy": "sandbox allow-scripts allow-popups"}
"""A report may do nothing in the name of Prefect's page."""


def report(request: Request) -> Response:
    """The report of the run of that name; for those who know the server's password, if it has
    one."""
    from prefect.settings import PREFECT_SERVER_API_AUTH_STRING
    from starlette.responses import FileResponse, PlainTextResponse

    if password := PREFECT_SERVER_API_AUTH_STRING.value():
        expected = "Basic " + base64.b64encode(password.encode()).decode()
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), expected.encode()):
            return PlainTextResponse("password, please", 401, {"WWW-Authenticate": "Basic"})
    name = request.path_params["name"]
    page = run_folder(workspace_folder(), name) / "report.html"
    if not NAME.fullmatch(name) or not page.is_file():
        return PlainTextResponse(f"no report of a run {name!r} here", 404)
    return FileResponse(page, headers=APART)


def main() -> None:
    """Serve, at the address of Prefect's settings, until told to stop."""
    die_with_parent(signal.SIGTERM)
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.routing import Route

    app = create_app(final=True)
    app.router.routes.insert(0, Route(ADDRESS, report))  # before Prefect's page, which takes all
    server = get_current_settings().server
    uvicorn.run(
        app,
        host=server.api.host,
        port=server.api.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
