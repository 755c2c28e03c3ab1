"""prefect.yaml repeats configs/*.yaml, and Prefect's page can make a form of the settings."""

from __future__ import annotations

from flows.deployments import FILE, render


def test_prefect_yaml_is_what_the_configs_say() -> None:
    assert FILE.read_text() == render(), "run `python -m flows.deployments`"


def test_the_form_has_every_setting_with_its_description() -> None:
    from flows.pipeline import augmentation_pipeline

    schema = augmentation_pipeline.parameters.model_dump()
    assert schema["required"] == ["config"]
    assert set(schema["properties"]) == {"config", "overrides", "workspace"}
    steps = schema["definitions"]["FitSettings"]["properties"]["steps"]
    assert steps["description"] == "optimiser steps"
    assert "sample.count=200" in schema["properties"]["overrides"]["description"]
