"""What groups of real processes do in test_workers.py."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from pydantic import BaseModel

from vesselforge.configs.errors import DataError
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import default_group


class Act(BaseModel):
    """What is done; device as the settings of real stages have it."""

    do: str = "count"
    device: str = "cpu"


def act(settings: Act, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Both agree and count until they are asked to stop, or the second does what is asked."""
    ranks = default_group()
    (out / f"pid{ranks.rank}").write_text(str(os.getpid()))
    total = ranks.all_reduce(torch.full([3], 1.0 + ranks.rank))
    told = ranks.broadcast({"of": ["the", "lead", ranks.rank]})
    progress.message(f"rank {ranks.rank} speaks")
    if settings.do == "count":
        one, none = ranks.any(ranks.rank == 1), ranks.any(False)
        seen = {"total": total.tolist(), "told": told, "any": [one, none], "size": ranks.world_size}
        write_json(out / f"seen{ranks.rank}.json", seen | {"images": inputs["images"].digest})
        for step in range(10**6):
            if ranks.any(progress.stop_requested):
                write_json(out / f"saved{ranks.rank}.json", step)
                raise Interrupted
            progress.update(step, 10**6, "step")
            time.sleep(0.02)
    elif ranks.rank == 1:
        {"die": die, "misjudge": misjudge}[settings.do]()
    else:
        ranks.all_reduce(torch.zeros(1))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def misjudge() -> None:
    raise DataError("picture.png: is upside down")
