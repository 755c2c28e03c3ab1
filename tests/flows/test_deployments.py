"""prefect.yaml repeats configs/*.yaml, and Prefect's page can make a form of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vesselforge.flows.serving.deployments import FILE, POOL, refreshed


def test_prefect_yaml_is_what_the_configs_say() -> None:
    text = FILE.read_text()
    assert text == refreshed(text), "run `python -m vesselforge.flows.serving.deployments`"


def test_the_form_has_every_setting_with_its_description() -> None:
    from vesselforge.flows.run import augmentation_pipeline

    schema = augmentation_pipeline.parameters.model_dump()
    assert schema["required"] == ["config"]
    assert set(schema["properties"]) == {"config", "overrides", "workspace"}
    steps = schema["definitions"]["SegmenterSettings"]["properties"]["steps"]
    assert steps["description"] == "optimiser steps"
    assert "sample.count=200" in schema["properties"]["overrides"]["description"]


def test_no_two_deployments_of_a_flow_share_a_name() -> None:
    deployments = yaml.safe_load(FILE.read_text())["deployments"]
    names = [(one["entrypoint"].rpartition(":")[2], one["name"]) for one in deployments]

    assert len(set(names)) == len(names)
    assert ("compare_ratios", "drive") in names
    assert {one["work_pool"]["name"] for one in deployments} == {POOL}


@pytest.mark.parametrize("group", ["ArmSettings", "StatisticsSettings", "ExecutionSettings"])
def test_the_form_of_a_study_describes_its_settings(group: str) -> None:
    from vesselforge.flows.compare import compare_ratios

    schema = compare_ratios.parameters.model_dump()
    assert set(schema["properties"]) == {"config", "overrides", "workspace"}
    for field in schema["definitions"][group]["properties"].values():
        assert field["description"]


def test_no_file_of_the_flows_hides_a_room() -> None:
    """Prefect loads a flow by its file, with the folder of the file first on the path."""
    root = Path(__file__).parents[2]
    rooms = {path.parent.name for path in root.glob("*/__init__.py")}
    files = {path.stem for path in (root / "flows").iterdir()} - {"__init__", "__pycache__"}
    assert "pipeline" in rooms and not rooms & files
