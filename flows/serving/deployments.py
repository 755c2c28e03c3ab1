"""prefect.yaml repeats configs/*.yaml, for it cannot include files: this keeps it up to date.

`python -m vesselforge.flows.serving.deployments`; a test keeps the two in step.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from vesselforge.configs.load import find

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
POOL = "local"


def refreshed(text: str) -> str:
    """prefect.yaml with every deployment's config as the shipped file of that name has it."""
    content = yaml.safe_load(text)
    for deployment in content["deployments"]:
        parameters = deployment["parameters"]
        shipped = find(parameters["config"]["name"]).read_text(encoding="utf-8")
        parameters["config"] = yaml.safe_load(shipped)
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return comment + yaml.safe_dump(content, sort_keys=False, width=100)


if __name__ == "__main__":
    FILE.write_text(refreshed(FILE.read_text(encoding="utf-8")), encoding="utf-8")
