"""A flow started from the command line: Prefect's server, then the flow, then what came of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from vesselforge.configs.base import as_given
from vesselforge.configs.errors import UserError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.flows.serving.embedded import api, forget_what_is_left
from vesselforge.flows.serving.servers import without_password

RUN = "vesselforge.flows.run:augmentation_pipeline"
STUDY = "vesselforge.flows.compare:compare_ratios"
RETRAINING = "vesselforge.flows.retrain:retrain"


def launch(
    flow: str,
    config: PipelineConfig | StudyConfig,
    workspace: Path,
    display: Display,
    server: str | None = None,
) -> dict[str, Any]:
    """Run a flow here and now. Returns what its body does.

    flow: RUN, STUDY or RETRAINING. The config has been checked. server: address of a Prefect
    server; without, the one that the environment asks for, or else one of the run's own.

    Raises UserError, StageCrashed or Interrupted; anything else is a programming error.
    """
    import httpx

    def launched() -> dict[str, Any]:
        with shown(display), api(server) as url:
            from vesselforge.flows.states import result_of

            address = without_password(url)
            where = f"in {workspace} (Prefect at {address.removesuffix('/api')})"
            display.say(f"run {config.name} {where}")
            try:
                # As it was given: Prefect's page then shows what was chosen, and can change it.
                given = as_given(config)
                state = resolve_name(flow)(given, workspace=str(workspace), return_state=True)
            except httpx.TransportError as error:
                forget_what_is_left()
                raise StageCrashed(
                    f"{address}: Prefect's server no longer answers ({type(error).__name__}); see "
                    "what became of it"
                ) from error
            except httpx.HTTPStatusError as error:
                forget_what_is_left()
                refused = f"{error.request.url.path}: HTTP {error.response.status_code}"
                raise UserError(
                    f"{address}: Prefect's server refuses what this version asks of it "
                    f"({refused}); `vesselforge doctor` compares the versions"
                ) from error
            return dict(result_of(state))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return launched()
    # A notebook: where an event loop is at work, Prefect would give a coroutine for it to do.
    with ThreadPoolExecutor(1) as pool, display.listening():
        return pool.submit(launched).result()
