"""The processes that train one network together, as started by torchrun; usually just one.

Every process takes the same decisions from the same numbers: sums over all processes, or what rank
0 said. Nothing distributed is imported while there is only one.
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
"""How long a process waits for the others; rank 0 may be busy with a snapshot's metrics."""


class ProcessGroup:
    """One process among `world_size`, of which rank 0 alone writes files. All processes must call
    the same methods in the same order."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank, self.world_size = rank, world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of all."""
        return self.rank == 0

    def all_reduce(self, values: Tensor) -> Tensor:
        """Replace `values`, of the same shape everywhere, by their sum over the processes."""
        if self.world_size > 1:
            import torch.distributed as dist

            with self._explained():
                dist.all_reduce(values)
        return values

    def all_reduce_each(self, tensors: Sequence[Tensor]) -> None:
        """`all_reduce` of several tensors on one device in one message, which is float32."""
        if self.world_size > 1:
            flat = self.all_reduce(torch.cat([tensor.flatten().float() for tensor in tensors]))
            sums = flat.split([tensor.numel() for tensor in tensors])
            for tensor, total in zip(tensors, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any process says so. On the host: no accelerator is waited for."""
        return flag if self.world_size == 1 else bool(self.all_reduce(torch.tensor([int(flag)])))

    def broadcast(self, value: Any) -> Any:
        """What rank 0 passed, JSON; what the others pass is ignored."""
        if self.world_size == 1:
            return value
        import torch.distributed as dist

        text = json.dumps(value).encode() if self.is_main else b""
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
                f"process {self.rank + 1} of {self.world_size} got no answer from the others "
                f"(waiting at most {TIMEOUT_S:g} s): {str(error).splitlines()[0]}. Check whether "
                "one was killed (memory: `dmesg`), whether all GPUs are free (`nvidia-smi`), and "
                "NCCL's log (NCCL_DEBUG=INFO); processes: 1 trains without the others"
            ) from error


@functools.cache
def default_group() -> ProcessGroup:
    """The group that torchrun put this process into; of one when it did not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return ProcessGroup()
    import torch.distributed as dist

    backend = "gloo"
    if torch.cuda.is_available():  # host decisions by gloo, gradients by NCCL
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT_S))
    return ProcessGroup(dist.get_rank(), dist.get_world_size())
