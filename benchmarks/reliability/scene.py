"""The place of one fault: a workspace, the command that meets the fault there, what comes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from benchmarks.reliability.pipeline import contents, tiny
from benchmarks.reliability.processes import environment, family, kill, run, running, until
from benchmarks.reliability.reference import PATIENCE_S, Reference

DISK_MIB = 64
MESSAGE_CHARS = 240
NOTES = ("damaged", "failed", "going on from", "resumed")
"""In what a run says of trouble that it gets over by itself."""


class Skipped(Exception):
    """This machine does not allow the fault; the reason."""


@dataclass
class Scene:
    """folder: its own. more: arguments of the command. extra: environment of the faulty run."""

    reference: Reference
    folder: Path
    stack: ExitStack
    more: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    """kind/digest → files of what was finished and must stay so."""
    repairs: list[Callable[[], object]] = field(default_factory=list)
    """What a user does about it before the same command is given again."""

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def command(self) -> list[str]:
        return tiny("run", self.workspace, *self.more)

    def without(self, *steps: str) -> None:
        """The reference's workspace, in which these steps are not done."""
        self.reference.copy(self.workspace, steps)
        self.kept = contents(self.workspace)

    def folder_of(self, step: str, suffix: str = "") -> Path:
        kind, digest = self.reference.address(step)
        return self.workspace / "store" / kind / (digest + suffix)

    def checkpoints(self, step: str) -> list[Path]:
        """Whole ones of a step in progress, oldest first."""
        found = sorted((self.folder_of(step, ".partial") / "checkpoint").glob("*.safetensors"))
        return [path for path in found if path.with_suffix(".sha256").is_file()]

    def run(self) -> tuple[int, str]:
        """The command's exit status and what it said."""
        env = environment(self.reference.home, **self.extra)
        said = run(self.command, env, self.folder, PATIENCE_S)
        return said.returncode, said.stdout + said.stderr

    @contextmanager
    def running(self) -> Iterator[Popen[str]]:
        """The command in the background."""
        env = environment(self.reference.home, **self.extra)
        with running(self.command, env, self.folder) as process:
            yield process

    def wait(self, process: Popen[str], true: Callable[[], object]) -> None:
        """Until it is true; raises RuntimeError when the command ends before."""

        def reached() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the command ended too soon: {self.said()}")
            return bool(true())

        until(reached, PATIENCE_S, every=0.002)

    def end(self, process: Popen[str]) -> tuple[int, str]:
        return process.wait(PATIENCE_S), self.said()

    def said(self) -> str:
        return (self.folder / "output.txt").read_text()

    def murder(self, process: Popen[str]) -> None:
        relatives = family(process.pid)
        kill([process.pid, *relatives])
        process.wait()

    def disk(self) -> None:
        """The workspace is a small disk of its own."""
        self.workspace.mkdir(parents=True)
        options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self.workspace)]
        mount(*options)
        self.stack.callback(unmount, self.workspace)

    def fill(self) -> None:
        """Not a byte is left on that disk."""
        filler = self.workspace / "filler"
        with filler.open("ab", buffering=0) as stream:
            for size in (2**20, 2**12, 1):
                try:
                    while stream.write(b"x" * size):
                        pass
                except OSError:
                    continue


def mount(*options: str) -> None:
    """Raises Skipped where this is not allowed."""
    program = shutil.which("mount")
    if program is None:
        raise Skipped("there is no mount command")
    done = subprocess.run([program, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"mount is not allowed here ({done.stderr.strip()})")


def unmount(folder: Path) -> None:
    """Also when a process still has files open there."""
    program = shutil.which("umount") or "umount"
    subprocess.run([program, "--lazy", str(folder)], check=True)


def message_of(said: str, folder: Path) -> str:
    """The line that tells of the fault, without the parts of its paths that mean nothing."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = ["error: " + line.split("error: ", 1)[1] for line in lines if "error: " in line]
    notes = [line for line in lines if any(word in line for word in NOTES)]
    line = (errors[-1:] or notes or ["nothing of it"])[0]
    line = line.replace(f"{folder}/", "").replace(str(folder), "")
    line = re.sub(r"\s+", " ", line)
    line = re.sub(r"\b[0-9a-f]{24}\b", lambda match: match[0][:6] + "…", line)
    return line if len(line) <= MESSAGE_CHARS else line[: MESSAGE_CHARS - 1] + "…"


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The second half is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
