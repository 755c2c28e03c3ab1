"""Loading TorchScript networks that others made, without letting them touch files.

A TorchScript file is a program. `torch.jit.load` runs no Python of it and unpickles nothing but
tensors and containers; its interpreter knows tensor operations and a few operators that read or
write files or call other machines. Files that mention one of those are refused unread. That leaves
programs that compute for ever or ask for all memory: use files that you have reason to trust.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from vesselforge.configs.errors import CheckpointError

REACHING_OUT = re.compile(rb"\b(save|from_file|rpc_async|rpc_remote|rpc_sync)\s*\(")
"""Calls of aten::save, aten::from_file and prim::rpc_*, as the archive's source spells them: of
all operators of TorchScript in PyTorch 2.13 the ones that touch more than tensors."""
SOURCE = (".py",)
MOST_SOURCE = 50_000_000
"""Bytes of one source file, unpacked; Inception's have a hundredth of it."""


def load_script(path: Path, expected: str) -> nn.Module:
    """Return the network in a TorchScript file, in eval mode on the CPU.

    expected: what should have been there, for the message. Raises CheckpointError when the file
    is absent, not TorchScript, or a program that could do more than compute.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {expected}")
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename
                if not name.endswith(SOURCE):
                    continue
                if info.file_size > MOST_SOURCE:
                    raise CheckpointError(
                        f"{path}: found {info.file_size:,} bytes of program ({name}), expected at "
                        f"most {MOST_SOURCE:,}; {expected}"
                    )
                if call := REACHING_OUT.search(archive.read(name)):
                    raise CheckpointError(
                        f"{path}: refused, for its program calls `{call[1].decode()}` ({name}), "
                        f"which reaches beyond tensors; {expected}"
                    )
        with warnings.catch_warnings():  # torch.jit is deprecated, but the file is what it is
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise unusable(path, error, expected) from error
    return network


def unusable(path: Path, error: Exception, expected: str) -> CheckpointError:
    """Return the error that says why a file cannot be used, in one line."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return CheckpointError(f"{path}: cannot be used ({reason}); {expected}")
