"""Longer trainings: one that asks for more of the same goes on from the end of a finished one.

A finished training leaves the state at its end beside its artifact, in `<digest>.resume/`:
checkpoints, and in `files/` what it had written by then, before anything was logged or scored of
the last step, which an end does otherwise. It is no part of the artifact and may be deleted at any
time; `KEPT_BYTES` of a kind stay, the newest. What goes on from there has the bytes of a training
that was planned so.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from pydantic import BaseModel

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import (
    MANIFEST,
    SCRATCH,
    Artifact,
    Stage,
    identity_of,
    read_artifact,
)
from vesselforge.engine.files import link_file
from vesselforge.engine.log import LOG
from vesselforge.engine.progress import Progress

RESUME = ".resume"
FILES = "files"
SEAL = ".sha256"
"""Ending of the hash beside a checkpoint, which is written last."""
KEPT_BYTES = 2 * 2**30
"""Of the states of a kind; the newest stays whatever its size."""


@dataclass(frozen=True)
class Length:
    """A training in steps, and how far that is in the unit that people count in.

    before: the steps of an earlier one. obstacle: why that one cannot be gone on from, and what to
    do; empty where it can.
    """

    steps: int
    before: int
    unit: str = "steps"
    per_step: float = 1.0
    obstacle: str = ""

    def at(self, step: int) -> str:
        """Such as `2 of 10 kimg`."""
        return f"{step * self.per_step:g} of {self.steps * self.per_step:g} {self.unit}"


@dataclass(frozen=True)
class Earlier:
    """A finished training that another one may go on from. step: of its state, None where that is
    no longer there. length: of the other one."""

    artifact: Artifact
    step: int | None
    length: Length

    @property
    def state(self) -> Path | None:
        """The folder to go on from; None where it cannot be."""
        return None if self.length.obstacle or self.step is None else _state_of(self.artifact.path)

    @property
    def share(self) -> float:
        """Of the other training that need not be done."""
        return 0.0 if self.state is None or self.step is None else self.step / self.length.steps

    def __str__(self) -> str:
        """What to tell people."""
        name = f"{self.artifact.kind} {self.artifact.digest}"
        if self.state is not None and self.step is not None:
            return f"goes on from {name} at {self.length.at(self.step)}"
        gone = "its state at the end is no longer kept"
        return (
            f"does not go on from {name}: {self.length.obstacle or gone}; to begin with its "
            f"weights, set start_from: {self.artifact.path}"
        )


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder that were written to the end, in order."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.glob(f"step-*{SEAL}"))


def remove_checkpoint(folder: Path, step: int) -> None:
    """Delete one of them, its hash first."""
    for suffix in (SEAL, ".safetensors"):
        (folder / f"step-{step:08d}").with_suffix(suffix).unlink(missing_ok=True)


# In a training.


def set_aside(out: Path, needed: Collection[int]) -> None:
    """Keep what a training has written by the step of its newest checkpoint, the last one, before
    it does what belongs to an end. needed: steps of the checkpoints to keep."""
    scratch = out / SCRATCH
    for step in set(saved_steps(scratch)) - set(needed):
        remove_checkpoint(scratch, step)
    aside = scratch / f"{FILES}.new"
    for folder in (aside, scratch / FILES):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(out, aside, ignore=lambda *_: [SCRATCH], copy_function=_copied)
    aside.rename(scratch / FILES)


def take_back(out: Path) -> None:
    """Where something was set aside, make it all that is there: before a training resumes."""
    found = out / SCRATCH / FILES
    if not found.is_dir():
        return
    for path in out.iterdir():
        if path.is_dir() and path.name != SCRATCH:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    shutil.copytree(found, out, copy_function=_copied, dirs_exist_ok=True)
    used = found.with_name(f"{FILES}.new")
    shutil.rmtree(used, ignore_errors=True)
    found.rename(used)
    shutil.rmtree(used)


def _copied(source: str, target: str) -> None:
    """A link, but of the log, to which is added in place."""
    if Path(source).name == LOG:
        shutil.copyfile(source, target)
    else:
        link_file(Path(source), Path(target))


# In the store.


def keep_state(partial: Path, final: Path) -> None:
    """Move the state of a training that has ended beside its artifact; drop the oldest beyond
    KEPT_BYTES, and any other scratch folder."""
    scratch, state = partial / SCRATCH, _state_of(final)
    if not (scratch / FILES).is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
        return
    shutil.rmtree(state, ignore_errors=True)
    scratch.rename(state)
    total = 0
    for folder in sorted(final.parent.glob(f"*{RESUME}"), key=_age):
        total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if total > KEPT_BYTES and folder != state:
            shutil.rmtree(folder, ignore_errors=True)


def drop_state(final: Path) -> None:
    """Delete the state that an artifact left."""
    shutil.rmtree(_state_of(final), ignore_errors=True)


def go_on(
    stage: Stage, settings: BaseModel, inputs: Mapping[str, str], final: Path, progress: Progress
) -> None:
    """Let a training that has no checkpoint yet begin where an earlier one ended, or say why it
    does not. final: where its artifact will be."""
    scratch = final.with_name(f"{final.name}.partial") / SCRATCH
    if stage.longer is None or saved_steps(scratch):
        return
    own, state = _state_of(final), None
    if saved_steps(own):  # its artifact was damaged, or killed as it was published
        state = own
    elif earlier := earlier_of(stage, settings, inputs, final.parent):
        progress.message(str(earlier))
        state = earlier.state
    if state is None:
        return
    aside = scratch.with_name(f"{SCRATCH}.new")
    for folder in (aside, scratch):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.copytree(state, aside, copy_function=_copied)
    except (FileNotFoundError, shutil.Error) as error:  # another process dropped it meanwhile
        shutil.rmtree(aside, ignore_errors=True)
        progress.message(f"begins at 0: {state} could not be read ({str(error)[:200]})")
        return
    aside.rename(scratch)


def earlier_of(
    stage: Stage, settings: BaseModel, inputs: Mapping[str, str], folder: Path
) -> Earlier | None:
    """The finished training that this one goes on from; where there is none, one that it could be
    expected to go on from, with the obstacle. folder: of the artifacts of the kind."""
    found = list(_earlier_ones(stage, settings, inputs, folder)) if stage.longer else []
    return max(found, key=lambda one: (one.share, one.step or 0), default=None)


def _earlier_ones(
    stage: Stage, settings: BaseModel, inputs: Mapping[str, str], folder: Path
) -> Iterator[Earlier]:
    """All with the same inputs, and settings that differ only in what does not matter."""
    wanted = identity_of(settings)
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        try:
            made = read_artifact(manifest.parent)
            facts = made.manifest
            if facts["inputs"] != dict(inputs) or facts.get("stage_version") != stage.version:
                continue
            before = stage.settings.model_validate(facts["settings"])
        except (WorkspaceError, ValueError):
            continue  # of an older version, or damaged: no help
        own = identity_of(before)
        changed = {name for name, value in wanted.items() if own[name] != value}
        length: Length | None = resolve_name(str(stage.longer))(settings, before, changed)
        if length is None or manifest.parent.suffix:
            continue
        steps = saved_steps(_state_of(made.path))
        if (steps[-1] if steps else length.before) <= length.steps:
            yield Earlier(made, steps[-1] if steps else None, length)


def _state_of(final: Path) -> Path:
    return final.with_name(f"{final.name}{RESUME}")


def _age(folder: Path) -> float:
    """Least for the newest."""
    try:
        return -folder.stat().st_mtime
    except OSError:  # another process dropped it
        return 0.0
