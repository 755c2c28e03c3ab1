"""A stage for the store's tests, and a program that runs it in a process of its own.

    python store_stages.py WORKSPACE LOG VALUE PAUSE_BEFORE

It writes four files one after another, keeps a checkpoint of how far it is, and waits for ever
before file PAUSE_BEFORE. LOG, outside the workspace, gets a line for every file that is written.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from vesselforge.configs.base import Settings, operational
from vesselforge.engine.artifacts import METRICS, SCRATCH, Artifact, Inputs, Stage
from vesselforge.engine.files import file_sha256, write_atomic, write_json
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store

FILES = 4


class CountSettings(Settings):
    value: int
    log: Path | None = operational(None)
    pause_before: int = operational(-1)


def count(settings: CountSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    (out / SCRATCH).mkdir(exist_ok=True)
    done = out / SCRATCH / "done"
    start = int(done.read_text()) if done.is_file() else 0
    for number in range(start, FILES):
        if number == settings.pause_before:
            (out / f".{number}.txt.tmp").write_text("half a fi")
            while True:
                time.sleep(0.05)
        write_atomic(out / f"{number}.txt", f"{settings.value * number}\n" * 50)
        write_atomic(done, str(number + 1))
        if settings.log is not None:
            with settings.log.open("a") as stream:
                stream.write(f"{number}\n")
    write_json(out / METRICS, {"files": FILES})


def hashes(settings: CountSettings) -> dict[str, str]:
    """Of the log, which is outside the store."""
    assert settings.log is not None
    return {"log": file_sha256(settings.log)}


READER = Stage("test.read", 1, "store_stages:count", CountSettings, "store_stages:hashes")
STAGE = Stage("test.count", 1, "store_stages:count", CountSettings)


def run(
    workspace: Path, log: Path | None = None, value: int = 3, pause_before: int = -1
) -> Artifact:
    settings = CountSettings(value=value, log=log, pause_before=pause_before)
    return Store(workspace).open().produce(STAGE, settings, {}, Progress())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
