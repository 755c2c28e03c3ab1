"""A run that is started where an event loop is at work, as in a notebook."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.progress import Interrupted
from vesselforge.engine.sinks.display import Display
from vesselforge.flows import launch


def test_a_run_in_a_notebook_has_no_loop_around_it_and_heeds_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    class Heard(Display):
        def stop(self, notice: str = "") -> None:
            self.stop_requested = True
            asked.set()

    display = Heard()

    def api(server: str | None) -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.wait(20) and display.stop_requested
        raise Interrupted("asked to stop")

    async def notebook() -> None:
        launch.launch(launch.RUN, PipelineConfig(), tmp_path, display)

    monkeypatch.setattr(launch, "api", api)
    with pytest.raises(Interrupted, match="asked to stop"):
        asyncio.run(notebook())
