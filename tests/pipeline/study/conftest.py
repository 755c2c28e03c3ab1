from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_findings import findings_of, study_of, write_run

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.study.findings import Findings
from vesselforge.pipeline.study.schema import RESULTS, Results, read_results

Build = Callable[..., StudyConfig]


def small(build: Build, seeds: list[int], **changes: Any) -> StudyConfig:
    """A study with one number of real images."""
    changes["arms"] = {"real_images": [4]} | changes.get("arms", {})
    return study_of(build, seeds, **changes)


@pytest.fixture(scope="module")
def written(tiny_study: Build, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a run of some seeds; each is made once."""
    made: dict[str, Path] = {}

    def write(name: str, seeds: list[int]) -> Path:
        key = f"{name}, {seeds}"
        if key not in made:
            made[key] = tmp_path_factory.mktemp("written")
            config = small(tiny_study, seeds, name=name)
            write_run(made[key], config, findings_of(config))
        return made[key] / "runs" / name

    return write


@pytest.fixture
def part(tiny_study: Build, written: Callable[..., Path], tmp_path: Path) -> Callable[..., Results]:
    """Write a run of some seeds into tmp_path/workspace."""

    def write(
        name: str,
        seeds: list[int],
        found: Callable[[Findings], Findings] | None = None,
        **changes: Any,
    ) -> Results:
        if found is None and not changes:
            folder = shutil.copytree(written(name, seeds), tmp_path / "workspace" / "runs" / name)
            return read_results(folder / RESULTS)
        config = small(tiny_study, seeds, **changes | {"name": name})
        findings = findings_of(config)
        return write_run(tmp_path / "workspace", config, found(findings) if found else findings)

    return write
