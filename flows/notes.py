"""What a run leaves in Prefect's own pages: progress, tables, synthetic pictures.

Figures and synthetic images only: Prefect's database keeps what it is given, so no patient's
picture goes there. A note that cannot be written never stops the work.
"""

from __future__ import annotations

import base64
import io
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Sink, Standing
from vesselforge.flows.serving.servers import without_password
from vesselforge.pipeline.models.score_rows import figure_rows, score_rows

PROGRESS_EVERY_S = 10.0
GRID_SIDE = 640
ANSWER_S = 5.0
MUTE_S = 300.0
"""Prefect's client tries for a minute to reach a server that is gone; then it is let alone."""
_again = 0.0
"""When notes are written again, on the monotonic clock."""


def _write(note: Callable[..., Any], *content: Any, **more: Any) -> Any:
    """What Prefect's client returns for a note; None where it could not be written.

    When no server answers, the next ones are left out, too.
    """
    global _again
    if time.monotonic() < _again:
        return None
    try:
        return note(*content, **more)
    except Exception as error:
        logging.getLogger("vesselforge").warning("Prefect artifact: was not written: %s", error)
        if isinstance(error, httpx.TransportError):
            _again = time.monotonic() + MUTE_S
    return None


class ProgressPage(Sink):
    """A progress artifact of a stage that takes its time, with figures, pace and time left."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._artifact: Any = None
        self._due = time.monotonic() + PROGRESS_EVERY_S

    def show(self, standing: Standing) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PROGRESS_EVERY_S
            self._publish(100 * standing.share, standing.words())

    def ended(self, error: BaseException | None) -> None:
        if error is None and self._artifact is not None:
            self._publish(100.0, "done")

    def _publish(self, percent: float, words: str) -> None:
        description = f"{self._step}: {words}"
        if self._artifact is None:
            key = f"progress-{slug(self._step)}"
            new = {"key": key, "description": description}
            self._artifact = _write(create_progress_artifact, percent, **new)
        else:
            _write(update_progress_artifact, self._artifact, percent, description)


def publish(step: str, artifact: Artifact) -> None:
    """The figures of a finished step, and a picture when it made synthetic images."""
    if artifact.kind in ("segmenter.evaluate", "segmenter.pool"):
        publish_table(step, score_rows(artifact.metrics), step)
    else:
        publish_table(step, figure_rows(artifact.metrics), f"{step}: {artifact.path}")
    if artifact.kind == "generator.sample":
        _publish_grid(step, artifact)


def publish_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Rows of one kind, such as the arms of a study."""
    _write(create_table_artifact, rows, key=slug(key), description=description)


def publish_report(page: Path) -> None:
    """Where the report lies, and a link where the server shows it: `vesselforge serve` does.

    A browser follows no link to a file from Prefect's page.
    """
    link = _shown_at(page)
    words = f"[Report of {page.parent.name}]({link}), `{page}`" if link else f"Report: `{page}`"
    _write(create_markdown_artifact, words, key="report", description="HTML report")


def _shown_at(page: Path) -> str | None:
    """The address at which the server shows this very page, if it does."""
    api = (PREFECT_API_URL.value() or "").rstrip("/")
    if not api.endswith("/api"):  # Prefect's cloud
        return None
    link = f"{api.removesuffix('/api')}/reports/{page.parent.name}"
    try:
        user, _, word = (PREFECT_API_AUTH_STRING.value() or "").partition(":")
        answer = httpx.get(link, auth=(user, word) if user else None, timeout=ANSWER_S)
        return without_password(link) if answer.content == page.read_bytes() else None
    except (httpx.HTTPError, OSError):
        return None


def _publish_grid(step: str, artifact: Artifact) -> None:
    grid = next(iter(sorted(artifact.path.glob("*grid*.png"))), None)
    if grid is None:
        return
    from PIL import Image

    from vesselforge.data.formats.images import read_picture

    small = Image.fromarray(read_picture(grid).rgb())
    small.thumbnail((GRID_SIDE, GRID_SIDE))
    content = io.BytesIO()
    small.save(content, format="JPEG", quality=80)
    encoded = base64.b64encode(content.getvalue()).decode()
    markdown = f"![synthetic samples](data:image/jpeg;base64,{encoded})"
    about = {"key": f"{slug(step)}-grid", "description": "synthetic images"}
    _write(create_markdown_artifact, markdown, **about)


def slug(text: str) -> str:
    """Lower case with dashes, as artifact keys must be."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
