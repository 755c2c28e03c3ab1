"""prefect.yaml, written from configs/*.yaml: `python -m flows.deployments`.

prefect.yaml cannot include other files, so it repeats them; a test keeps the two in step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs.load import SHIPPED, load
from configs.settings import PipelineConfig

FILE = Path(__file__).parent.parent / "prefect.yaml"
POOL = "local"
DEPLOYMENTS = {
    "quickstart": ("quickstart", "The whole pipeline on phantom images, in minutes on two cores."),
    "drive": ("drive-cpu", "The whole pipeline on DRIVE, on two cores in under two hours."),
}
"""Deployment → (shipped config, description)."""
HEADER = """\
# Written by `python -m flows.deployments` from configs/*.yaml: change those, then run it.
# To change settings of one run, give overrides; a `config` of your own replaces all of this one:
#   prefect deployment run augmentation-pipeline/quickstart --param 'overrides=["sample.count=32"]'
"""


def render() -> str:
    """The text of prefect.yaml."""
    deployments = [_deployment(name, *about) for name, about in DEPLOYMENTS.items()]
    content = {"name": "vesselforge", "deployments": deployments}
    return HEADER + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=100)


def _deployment(name: str, config: str, description: str) -> dict[str, Any]:
    file = SHIPPED / f"{config}.yaml"
    load(PipelineConfig, file)  # a wrong setting stops here, not on Prefect's page
    return {
        "name": name,
        "description": description,
        "entrypoint": "flows/pipeline.py:augmentation_pipeline",
        "parameters": {"config": yaml.safe_load(file.read_text(encoding="utf-8"))},
        "work_pool": {"name": POOL},
    }


class _Plain(yaml.SafeDumper):
    """Without anchors: every deployment reads by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
