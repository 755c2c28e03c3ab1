"""prefect.yaml, written from configs/*.yaml: `python -m flows.deployments`.

prefect.yaml cannot include other files, so it repeats them; a test keeps the two in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from configs.base import Settings
from configs.load import find, load
from configs.settings import PipelineConfig
from configs.study import StudyConfig

FILE = Path(__file__).parent.parent / "prefect.yaml"
POOL = "local"


@dataclass(frozen=True)
class Deployed:
    """A deployment of a flow: its name, the shipped config it starts with, what it does."""

    flow: Literal["augmentation-pipeline", "compare-ratios"]
    name: str
    config: str
    description: str


FLOWS: dict[str, tuple[str, type[Settings]]] = {
    "augmentation-pipeline": ("flows/pipeline.py:augmentation_pipeline", PipelineConfig),
    "compare-ratios": ("flows/compare.py:compare_ratios", StudyConfig),
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
)
HEADER = """\
# Written by `python -m flows.deployments` from configs/*.yaml: change those, then run it.
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
    return {
        "name": deployed.name,
        "description": deployed.description,
        "entrypoint": entrypoint,
        "parameters": {"config": yaml.safe_load(file.read_text(encoding="utf-8"))},
        "work_pool": {"name": POOL},
    }


class _Plain(yaml.SafeDumper):
    """Without anchors: every deployment reads by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
