"""Prefect keeps no result of ours, and what it would keep would be JSON, never a pickle."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

from prefect import Flow, Task

from vesselforge.flows.run import augmentation_pipeline
from vesselforge.flows.tasks import task_of
from vesselforge.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
MAKES = re.compile(r"^from prefect import .*\b(flow|task)\b", re.MULTILINE)


def made() -> list[Flow | Task]:
    """Every flow and task of the modules that make any."""
    sources = [path for path in sorted((ROOT / "flows").rglob("*.py")) if MAKES.search(_text(path))]
    paths = [path.relative_to(ROOT).with_suffix("") for path in sources]
    names = [".".join(("vesselforge", *path.parts)) for path in paths]
    found = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return [value for value in [*found, *map(task_of, STAGES)] if isinstance(value, Flow | Task)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_no_flow_and_no_task_keeps_a_pickle() -> None:
    assert augmentation_pipeline in made() and len(made()) >= 12
    for one in made():
        assert one.persist_result is False or one.result_serializer == "json", one.name


def test_the_project_says_so_to_prefect() -> None:
    settings = tomllib.loads(_text(ROOT / "prefect.toml"))
    assert settings["results"] == {"default_serializer": "json", "persist_by_default": False}
    assert settings["server"]["analytics_enabled"] is False
