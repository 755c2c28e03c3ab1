"""The job templates of work pools in deploy/, rendered by Prefect's own code."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ConfigDict

DEPLOY = Path(__file__).parents[2] / "deploy"
POOLS = ("docker", "kubernetes")
PLACES = {"VESSELFORGE_WORKSPACE": "/workspace", "VESSELFORGE_DATA": "/datasets"}


def template(kind: str) -> dict[str, Any]:
    return dict(json.loads((DEPLOY / f"{kind}-pool.json").read_text()))


def job(kind: str, **variables: Any) -> dict[str, Any]:
    """What the template makes of a run with these job variables."""
    from prefect.workers.base import BaseJobConfiguration

    class Job(BaseJobConfiguration):
        """Keeps every field, as the workers of the Docker and Kubernetes packages do theirs."""

        model_config = ConfigDict(extra="allow")

    # The client would fetch blocks, and the template names none.
    made = Job.from_template_and_values(template(kind), variables, client=object())
    return dict(asyncio.run(made).model_dump())


def pod(made: dict[str, Any]) -> dict[str, Any]:
    return dict(made["job_manifest"]["spec"]["template"]["spec"])


@pytest.mark.parametrize("kind", POOLS)
def test_what_a_template_uses_it_declares(kind: str) -> None:
    content = template(kind)
    used = set(re.findall(r"{{ *(\w+) *}}", json.dumps(content["job_configuration"])))
    assert used == set(content["variables"]["properties"])


@pytest.mark.parametrize("kind", POOLS)
def test_defaults_are_of_the_type_that_the_form_asks_for(kind: str) -> None:
    schema = template(kind)["variables"]
    jsonschema.Draft202012Validator.check_schema(schema)
    properties = schema["properties"].items()
    defaults = {name: field["default"] for name, field in properties if "default" in field}
    jsonschema.Draft202012Validator(schema).validate(defaults)


@pytest.mark.parametrize("kind", POOLS)
def test_a_run_finds_workspace_and_datasets(kind: str) -> None:
    made = job(kind, env={"OMP_NUM_THREADS": "4"})
    assert made["env"].items() >= {**PLACES, "OMP_NUM_THREADS": "4"}.items()
    # A worker in the repository hands on prefect.toml's relative home, which a user cannot make.
    assert made["env"]["PREFECT_HOME"].startswith("/home/")
    if kind == "docker":
        targets = {volume.split(":", 1)[1] for volume in made["volumes"]}
    else:
        [container] = pod(made)["containers"]
        targets = {
            mount["mountPath"] + (":ro" if mount.get("readOnly") else "")
            for mount in container["volumeMounts"]
        } - {"/dev/shm"}
    assert targets == {"/workspace", "/datasets:ro"}


def test_a_container_has_limits_and_no_rights() -> None:
    made = job("docker")
    assert (made["image"], made["mem_limit"], made["privileged"]) == (
        "vesselforge:latest", "16g", False
    )  # fmt: skip
    assert made["container_create_kwargs"] == {
        "user": "10001:10001",
        "nano_cpus": 4_000_000_000,
        "device_requests": [{"driver": "nvidia", "count": 1, "capabilities": [["gpu"]]}],
        "shm_size": "2g",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }
    without = job("docker", gpus=[], cpus=2_000_000_000)["container_create_kwargs"]
    assert (without["device_requests"], without["nano_cpus"]) == ([], 2_000_000_000)


def test_a_pod_has_limits_a_grace_period_and_no_rights() -> None:
    spec = pod(job("kubernetes", gpus=2, memory_limit="24Gi", workspace_claim="ours"))
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] >= 60  # a stage gets 20 s to save its checkpoint
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    [container] = spec["containers"]
    assert container["resources"] == {
        "limits": {"cpu": "4", "memory": "24Gi", "nvidia.com/gpu": 2},
        "requests": {"cpu": "2", "memory": "8Gi"},
    }
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {volume.pop("name"): volume for volume in spec["volumes"]}
    assert volumes["workspace"] == {"persistentVolumeClaim": {"claimName": "ours"}}
    assert volumes["datasets"]["persistentVolumeClaim"]["readOnly"]
    assert volumes["shm"] == {"emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
