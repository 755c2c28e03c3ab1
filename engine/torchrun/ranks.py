"""The processes that train one network together, as started by torchrun; usually just one.

Every process of a team takes the same decisions from the same numbers: sums over all processes, or
what the lead said. Nothing distributed is imported while there is only one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from vesselforge.engine.processes.reporting import LostContact

TIMEOUT_S = 1800.0
"""How long a process waits for the others; the lead may be busy with a snapshot's metrics."""


class Team:
    """One process among `size`, of which rank 0 is the lead: it writes files, the others do not.

    All processes must call the same methods in the same order.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def lead(self) -> bool:
        """Whether this process writes the files of all."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Replace `values`, of the same shape everywhere, by their sum over the processes."""
        if self.size > 1:
            import torch.distributed as dist

            with self._explained():
                dist.all_reduce(values)
        return values

    def total_each(self, tensors: Sequence[Tensor]) -> None:
        """`total` of several tensors on one device in one message, which is float32."""
        if self.size > 1:
            flat = self.total(torch.cat([tensor.flatten().float() for tensor in tensors]))
            sums = flat.split([tensor.numel() for tensor in tensors])
            for tensor, total in zip(tensors, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any process says so. On the host: no accelerator is waited for."""
        return flag if self.size == 1 else bool(self.total(torch.tensor([int(flag)])).item())

    def from_lead(self, value: Any) -> Any:
        """What the lead passed, JSON; what the others pass is ignored."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        text = json.dumps(value).encode() if self.lead else b""
        with self._explained():
            length = torch.tensor([len(text)])
            dist.broadcast(length, src=0)
            content = torch.zeros(int(length), dtype=torch.uint8)
            content[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
            dist.broadcast(content, src=0)
        return json.loads(bytes(content.tolist()))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostContact(
                f"process {self.rank + 1} of {self.size} got no answer from the others "
                f"(waiting at most {TIMEOUT_S:g} s): {str(error).splitlines()[0]}. Check whether "
                "one was killed (memory: `dmesg`), whether all GPUs are free (`nvidia-smi`), and "
                "NCCL's log (NCCL_DEBUG=INFO); processes: 1 trains without the others"
            ) from error


@functools.cache
def here() -> Team:
    """The team that torchrun put this process into; of one when it did not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return Team()
    import torch.distributed as dist

    backend = "gloo"
    if torch.cuda.is_available():  # host decisions by gloo, gradients by NCCL
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT_S))
    return Team(dist.get_rank(), dist.get_world_size())
