"""Files and artifacts of a made-up run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import Any

from vesselforge.engine.files import write_json
from vesselforge.engine.store import Store

VERSIONS = {"vesselforge": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}


def put(
    store: Store,
    kind: str,
    name: str,
    files: dict[str, bytes],
    metrics: dict[str, Any],
    inputs: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> list[str]:
    """Write an artifact as a stage would have; returns [kind, digest]."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:24]
    folder = store.folder(kind, digest)
    files = {**files, "metrics.json": as_json(metrics)}
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    manifest = {
        "schema": 1,
        "kind": kind,
        "stage_version": 1,
        "digest": digest,
        "settings": settings or {"device": "cpu"},
        "inputs": inputs or {},
        "seconds": 41.5,
        "finished": "2026-01-05T10:01:00Z",
        "versions": VERSIONS,
        "files": {n: hashlib.sha256(c).hexdigest() for n, c in files.items()},
        "metrics": metrics,
    }
    write_json(folder / "manifest.json", manifest)
    return [kind, digest]


def file_name(id_: str) -> str:
    return id_.replace("/", "_")


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(head: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    return text.getvalue().encode()
