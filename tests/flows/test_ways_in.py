"""A setting wins or loses the same way, whichever way it comes: in a YAML file, by `--set`, by a
deployment's `overrides`, in a form that Prefect's page posts, or as Python objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from pydantic import ValidationError
from untouched_form import posted

from vesselforge.configs.base import Settings
from vesselforge.configs.errors import UserError
from vesselforge.configs.load import SHIPPED, load, override, read_yaml
from vesselforge.configs.settings import ExperimentConfig, PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.flows.compare import compare_ratios
from vesselforge.flows.retrain import retrain
from vesselforge.flows.run import augmentation_pipeline
from vesselforge.flows.serving.deployments import FILE

pytestmark = pytest.mark.slow
SHARED = [
    [],
    ["generator.preset=small-set"],
    ["generator={preset: auto, resolution: 32, kimg: 3, start_from: null}"],
    ["generator={preset: stylegan2, lr: 0.001, augment_p: null}"],
    ["teacher.lr=0.003", "teacher.augment.hue=5", "student.augment.blur=1"],
    ["student={crop: 64, augment: {warp_share: 0.4}}", "teacher.drop=0.2"],
    ["student.augment=null", "student.drop=null", "student.start_from=none"],
    ["finetune.steps=7", "pretrain.crop=32"],
]
OF_A_RUN = [["source.kind=joint", "generator.channels=rgb+mask"], ["source=phantom"]]
OF_A_STUDY = [
    ["strong_augment.hue=5"],
    ["strong_augment={blur: 0}", "sources.mine.kind=phantom"],
]
FLOWS: dict[Flow[Any, Any], type[ExperimentConfig]] = {
    augmentation_pipeline: PipelineConfig,
    retrain: PipelineConfig,
    compare_ratios: StudyConfig,
}
CASES = [
    pytest.param(flow, path, id=f"{flow.name}-{path.stem}")
    for flow, model in FLOWS.items()
    for path in sorted(SHIPPED.rglob("*.yaml"))
    if path.stem.startswith("compare") == (model is StudyConfig)
]


@pytest.fixture(scope="module")
def client(prefect_api: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.mark.parametrize(("flow", "path"), CASES)
def test_all_ways_lead_to_equal_settings(
    flow: Flow[Any, Any], path: Path, client: SyncPrefectClient, tmp_path: Path
) -> None:
    model = FLOWS[flow]
    page = Page(client, flow, yaml.safe_load(path.read_text()))
    cases = [*SHARED, *(OF_A_STUDY if model is StudyConfig else OF_A_RUN)]
    # To the server overrides are strings: one run with all of them tells what ten runs would, and
    # it checks a schema of thousands of lines for each run.
    every = [change for changes in cases for change in changes]
    started = {
        "prefect deployment run": page.started(every, untouched=False),
        "the untouched form": page.started(every),
    }
    assert [run["overrides"] for run in started.values()] == [every, every]
    for changes in cases:
        ways = ways_of(model, path, changes, tmp_path / "written.yaml") | {
            way: partial(override, run["config"], changes) for way, run in started.items()
        }
        found = {way: outcome(made) for way, made in ways.items()}
        expected = found.pop("YAML")
        differing = {way: differences(expected, made) for way, made in found.items()}
        assert not {way: what for way, what in differing.items() if what}, changes


def ways_of(
    model: type[ExperimentConfig], path: Path, changes: list[str], file: Path
) -> dict[str, Callable[[], Settings]]:
    """How a shipped config with some changes may come. file: where it can be written."""
    written = read_yaml(path)
    for change in changes:
        put(written, change)
    file.write_text(yaml.safe_dump(written))
    shipped = as_objects(model, read_yaml(path))
    return {
        "YAML": lambda: load(model, file),
        "--set": lambda: load(model, path, changes),
        "overrides": lambda: override(load(model, path), changes),
        "objects": lambda: model(**as_objects(model, written)),
        "objects, overrides": lambda: override(model(**shipped), changes),
    }


def test_what_a_run_keeps_of_its_settings_leads_to_them_again() -> None:
    for path in SHIPPED.rglob("*.yaml"):
        model = StudyConfig if path.stem.startswith("compare") else PipelineConfig
        config = load(model, path)
        assert model.model_validate(config.model_dump(mode="json")) == config


def test_the_deployments_forms_are_those_that_were_compared() -> None:
    flows = {flow.fn.__name__ for flow in FLOWS}
    deployments = yaml.safe_load(FILE.read_text())["deployments"]
    assert {one["entrypoint"].rpartition(":")[2] for one in deployments} == flows


class Page:
    """A deployment on a real server, with the config of a file, and the form for it."""

    def __init__(
        self, client: SyncPrefectClient, flow: Flow[Any, Any], config: dict[str, Any]
    ) -> None:
        self.client, self.flow = client, flow
        made = client.create_deployment(
            client.create_flow(flow),
            config["name"],
            parameters={"config": config},
            parameter_openapi_schema=flow.parameters.model_dump(),
            enforce_parameter_schema=True,
        )
        self.deployment = client.read_deployment(made)

    def started(self, overrides: list[str], untouched: bool = True) -> dict[str, Any]:
        """The parameters of a run that the server accepted, as the flow gets them. untouched: by
        the form, not by a client that sends what it wants changed alone."""
        given: dict[str, Any] = {**self.deployment.parameters, "overrides": overrides}
        if untouched:
            given = posted(self.deployment.parameter_openapi_schema or {}, given)
            given = json.loads(json.dumps(given))
        run = self.client.create_flow_run_from_deployment(self.deployment.id, parameters=given)
        return self.flow.validate_parameters(self.client.read_flow_run(run.id).parameters)


def put(values: dict[str, Any], change: str) -> None:
    """Write a change into the values of a file."""
    key, _, text = change.partition("=")
    *groups, last = key.split(".")
    for group in groups:
        if not isinstance(values.setdefault(group, {}), dict):
            values[group] = {"kind": values[group]}
        values = values[group]
    values[last] = yaml.safe_load(text)


def as_objects(model: type[Settings], values: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a config, its groups as settings of their own classes."""
    classes = {name: field.annotation for name, field in model.model_fields.items()}
    return {
        name: classes[name](**value) if name != "source" and isinstance(value, dict) else value
        for name, value in values.items()
    }


def outcome(way: Callable[[], Settings]) -> dict[str, Any] | str:
    """The settings that a way leads to, or that they are refused."""
    try:
        return dict(way().model_dump(mode="json"))
    except (UserError, ValidationError):
        return "refused"


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    if not (isinstance(expected, dict) and isinstance(found, dict)):
        return [] if expected == found else [f"{where}: {found!r}, expected {expected!r}"]
    return [
        each
        for name in expected.keys() | found.keys()
        for each in differences(expected.get(name), found.get(name), f"{where}.{name}")
    ]
