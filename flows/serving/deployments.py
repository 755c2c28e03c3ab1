"""prefect.yaml, written from configs/*.yaml: `python -m vesselforge.flows.serving.deployments`.

prefect.yaml cannot include other files, so it repeats them; a test keeps the two in step.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from vesselforge.configs.base import Settings
from vesselforge.configs.load import find, load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig

FILE = Path(__file__).parents[3] / "prefect.yaml"
POOL = "local"


@dataclass(frozen=True)
class Schedule:
    """When a deployment runs by itself. Whether it is active is left to Prefect's page: a schedule
    starts active, and one that was paused stays so when everything is deployed again."""

    slug: str
    cron: str
    timezone: str


@dataclass(frozen=True)
class Deployed:
    """A deployment of a flow: its name, the shipped config it starts with, what it does.

    alone: a run that should start while another one is going on is cancelled.
    """

    flow: Literal["augmentation-pipeline", "compare-ratios", "retrain"]
    name: str
    config: str
    description: str
    schedule: Schedule | None = None
    alone: bool = False


FLOWS: dict[str, tuple[str, type[Settings]]] = {
    "augmentation-pipeline": ("flows/run.py:augmentation_pipeline", PipelineConfig),
    "compare-ratios": ("flows/compare.py:compare_ratios", StudyConfig),
    "retrain": ("flows/retrain.py:retrain", PipelineConfig),
}
"""Flow → where it is, and the model of its config."""
DEPLOYMENTS = (
    Deployed(
        "augmentation-pipeline",
        "quickstart",
        "quickstart",
        "The whole pipeline on phantom images, in minutes on two cores.",
    ),
    Deployed(
        "augmentation-pipeline",
        "drive",
        "drive-cpu",
        "The whole pipeline on DRIVE, on two cores in under two hours.",
    ),
    Deployed(
        "compare-ratios",
        "quickstart",
        "compare-quickstart",
        "Does synthetic data help? On phantom images, in minutes on two cores.",
    ),
    Deployed(
        "compare-ratios",
        "drive",
        "compare-drive-cpu",
        "Does synthetic data help on DRIVE? A small study for two cores, a few hours.",
    ),
    Deployed(
        "retrain",
        "drive",
        "drive-cpu",
        "Every Sunday night: trains again if DRIVE's folder changed, promotes what is not worse.",
        Schedule("weekly", "0 3 * * 0", "UTC"),
        alone=True,
    ),
)
HEADER = """\
# Written by `python -m vesselforge.flows.serving.deployments` from configs/*.yaml:
# change those, then run it.
# To change settings of one run, give overrides; a `config` of your own replaces all of this one:
#   prefect deployment run augmentation-pipeline/quickstart --param 'overrides=["sample.count=32"]'
"""


def render() -> str:
    """The text of prefect.yaml."""
    deployments = [_deployment(deployed) for deployed in DEPLOYMENTS]
    content = {"name": "vesselforge", "deployments": deployments}
    return HEADER + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=100)


def _deployment(deployed: Deployed) -> dict[str, Any]:
    entrypoint, model = FLOWS[deployed.flow]
    file = find(deployed.config)
    load(model, file)  # a wrong setting stops here, not on Prefect's page
    found: dict[str, Any] = {
        "name": deployed.name,
        "description": deployed.description,
        "entrypoint": entrypoint,
        "parameters": {"config": yaml.safe_load(file.read_text(encoding="utf-8"))},
        "work_pool": {"name": POOL},
    }
    if deployed.schedule is not None:
        found["schedules"] = [asdict(deployed.schedule)]
    if deployed.alone:
        found["concurrency_limit"] = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    return found


class _Plain(yaml.SafeDumper):
    """Without anchors: every deployment reads by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
