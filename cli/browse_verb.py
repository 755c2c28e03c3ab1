"""`vesselforge browse`: the images of a run, and its networks to try, in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from vesselforge.cli.names import RUN, run_names
from vesselforge.cli.verbs import WORKSPACE, WorkspaceOption


def browse(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help=f"{RUN} Without one: the trained networks that come along.",
            autocompletion=run_names,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page; 0 takes a free one.")
    ] = 0,
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Look at a run's synthetic images, draw others, segment yours.

    A page on 127.0.0.1, which needs a browser and nothing else. Ctrl-C stops it.
    """
    from vesselforge.report.gallery.serving import serve_gallery

    serve_gallery(workspace, run, port, typer.echo)
