"""prefect.yaml, written from configs/*.yaml: `python -m vesselforge.flows.serving.deployments`.

prefect.yaml cannot include other files, so it repeats them; a test keeps the two in step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vesselforge.configs.base import Settings
from vesselforge.configs.load import find, load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
POOL = "local"


FLOWS: dict[str, tuple[str, type[Settings]]] = {
    "augmentation-pipeline": ("flows/run.py:augmentation_pipeline", PipelineConfig),
    "compare-ratios": ("flows/compare.py:compare_ratios", StudyConfig),
    "retrain": ("flows/retrain.py:retrain", PipelineConfig),
}
"""Flow → where it is, and the model of its config."""
DEPLOYMENTS = (
    ("augmentation-pipeline", "quickstart", "quickstart",
     "The whole pipeline on phantom images, in minutes on two cores."),
    ("augmentation-pipeline", "drive", "drive-cpu",
     "The whole pipeline on DRIVE, on two cores in under two hours."),
    ("compare-ratios", "quickstart", "compare-quickstart",
     "Does synthetic data help? On phantom images, in minutes on two cores."),
    ("compare-ratios", "drive", "compare-drive-cpu",
     "Does synthetic data help on DRIVE? A small study for two cores, a few hours."),
    ("retrain", "drive", "drive-cpu",
     "Every Sunday night: trains again if DRIVE's folder changed, promotes what is not worse."),
)  # fmt: skip
"""Flow, name, the shipped config it starts with, and what it does."""
SCHEDULES: dict[tuple[str, str], dict[str, Any]] = {
    ("retrain", "drive"): {
        "schedules": [{"slug": "weekly", "cron": "0 3 * * 0", "timezone": "UTC"}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }
}
"""When a deployment runs by itself, and that a run which should start while another one is going on
is cancelled. Whether a schedule is active is left to Prefect's page: one that was paused stays so
when everything is deployed again."""
HEADER = """\
# Written by `python -m vesselforge.flows.serving.deployments` from configs/*.yaml:
# change those, then run it.
# To change settings of one run, give overrides; a `config` of your own replaces all of this one:
#   prefect deployment run augmentation-pipeline/quickstart --param 'overrides=["sample.count=32"]'
"""


def render() -> str:
    """The text of prefect.yaml."""
    content = {"name": "vesselforge", "deployments": [_deployment(*one) for one in DEPLOYMENTS]}
    return HEADER + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=100)


def _deployment(flow: str, name: str, config: str, description: str) -> dict[str, Any]:
    entrypoint, model = FLOWS[flow]
    file = find(config)
    load(model, file)  # a wrong setting stops here, not on Prefect's page
    return {
        "name": name,
        "description": description,
        "entrypoint": entrypoint,
        "parameters": {"config": yaml.safe_load(file.read_text(encoding="utf-8"))},
        "work_pool": {"name": POOL},
        **SCHEDULES.get((flow, name), {}),
    }


class _Plain(yaml.SafeDumper):
    """Without anchors: every deployment reads by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
