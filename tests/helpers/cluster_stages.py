"""The stages of fake_stages.py for workers of a cluster, which know what they import alone."""

from __future__ import annotations

from typing import Any

from vesselforge.engine.artifacts import Stage
from vesselforge.flows.tasks import run_stage
from vesselforge.pipeline.stages import STAGES


def fake_stage() -> Stage:
    from fake_stages import FakeSettings

    return Stage("fake", 1, "fake_stages:fake", FakeSettings)


def run(
    step: str,
    kind: str,
    settings: dict[str, Any],
    inputs: dict[str, Any],
    outside: dict[str, str],
    workspace: str,
    environment: dict[str, str],
    stop_file: str,
    timeout: float | None,
) -> Any:
    """vesselforge.flows.tasks.run_stage where `fake` is a kind of stage."""
    STAGES.setdefault("fake", fake_stage())
    return run_stage(
        step, kind, settings, inputs, outside, workspace, environment, stop_file, timeout
    )
