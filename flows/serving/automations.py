"""The automations of ./automations on the server in use.

`python -m vesselforge.flows.serving.automations`

Prefect's own `automation create` makes a second one when it is run twice.
"""

from __future__ import annotations

from pathlib import Path

import yaml

FOLDER = Path("automations")


def apply(folder: Path = FOLDER) -> list[str]:
    """Create each, or update the one of that name. Returns the names. Imports Prefect."""
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    names = []
    with get_client(sync_client=True) as client:
        for file in sorted(folder.glob("*.yaml")):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            automation = AutomationCore.model_validate(content)
            found = client.read_automations_by_name(automation.name)
            if found:
                client.update_automation(found[0].id, automation)
            else:
                client.create_automation(automation)
            names.append(automation.name)
    return names


if __name__ == "__main__":
    print("\n".join(apply()))
