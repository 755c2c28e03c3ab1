"""The registry of a line of models: which version serves, which ones there were, and why.

`<workspace>/models/<name>/registry.json` is replaced as a whole, so a promotion has happened or it
has not. Models themselves stay in the store; the registry names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.configs.stages.images import SplitName
from vesselforge.engine.documents import read_valid
from vesselforge.engine.files import write_atomic
from vesselforge.engine.locks import locked
from vesselforge.engine.progress import Progress, clock
from vesselforge.engine.store import Store, explained
from vesselforge.pipeline.graph import Reference
from vesselforge.pipeline.places import REGISTRY, named_lines, no_such

LOCK = ".lock"
AT_WORK = ".at-work"
Verdict = Literal["first", "promoted", "held back"]
Decision = Literal["promoted", "held back", "rolled back"]


class Comparison(BaseModel):
    """Champion against challenger. f1: means over `images`; difference: challenger − champion;
    low: lower end of its one-sided interval, None for too few images; see `contest.judge`."""

    champion: int
    images: int
    f1_champion: float | None
    f1_challenger: float | None
    difference: float | None
    low: float | None
    p: float | None
    margin: float
    promoted: bool
    why: str


class Version(BaseModel):
    """One trained model. model: its artifact, None once pruned; artifacts: all that its run made
    or used; trained_on: identifiers of its training images; f1: on validation, by its own run."""

    number: int
    made: str
    run: str
    model: Reference | None
    artifacts: list[Reference] = []
    trained_on: list[str] = []
    images: int
    quarantined: int
    f1: float | None
    verdict: Verdict
    comparison: Comparison | None = None


class Event(BaseModel):
    """What happened to the line. version: the champion afterwards."""

    at: str
    what: Decision
    version: int
    was: int | None
    why: str


class Line(BaseModel):
    """All about one line. champions: versions in the order in which they served, the present one
    last. decided: the images and settings that the newest version answers. splits: identifier →
    split that an image had for the versions so far, and keeps."""

    name: str
    decided: str | None = None
    splits: dict[str, SplitName] = {}
    champions: list[int] = []
    versions: list[Version] = []
    events: list[Event] = []

    @property
    def champion(self) -> Version | None:
        return self.version(self.champions[-1]) if self.champions else None

    @property
    def next_number(self) -> int:
        return max((v.number for v in self.versions), default=0) + 1

    def version(self, number: int) -> Version:
        """Raises ConfigError for a number that there is not."""
        if found := [version for version in self.versions if version.number == number]:
            return found[0]
        known = ", ".join(str(v.number) for v in self.versions) or "none yet"
        raise ConfigError(f"{self.name}: no version {number}; there are: {known}")

    def note(self, what: Decision, number: int, why: str) -> None:
        """An event; call it before `champions` changes."""
        was = self.champions[-1] if self.champions else None
        self.events.append(Event(at=clock(), what=what, version=number, was=was, why=why))


class Registry:
    """The registry of the line `name` in a workspace."""

    def __init__(self, workspace: Path, name: str) -> None:
        self.workspace, self.name = workspace, name
        self.folder = workspace / "models" / name

    def read(self) -> Line:
        """The line; an empty one before its first version. Raises WorkspaceError when damaged."""
        file = self.folder / REGISTRY
        if not file.is_file():
            return Line(name=self.name)
        expected = (
            "a registry of models: mend it, or move the file away to begin a new line; the models "
            "stay in the store"
        )
        return read_valid(file, Line, expected)

    @contextmanager
    def change(self) -> Iterator[Line]:
        """The line, one process at a time; what was changed is written when the block succeeds."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / LOCK, Progress(), "waiting for the registry"):
                line = self.read()
                yield line
                write_atomic(self.folder / REGISTRY, line.model_dump_json(indent=1) + "\n")

    @contextmanager
    def alone(self, progress: Progress) -> Iterator[None]:
        """One retraining of the line at a time. Raises Interrupted when asked to stop waiting."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / AT_WORK, progress, "waiting for another run that retrains this"):
            yield

    def promote(self, number: int, why: str) -> None:
        """Let a version serve. Raises ConfigError for one that there is not, that serves already
        or that was pruned, WorkspaceError when its files are damaged."""
        with self.change() as line:
            if line.champions[-1:] == [number]:
                raise ConfigError(f"{self.name}: version {number} is the champion already")
            self.model_of(line.version(number))
            line.note("promoted", number, why)
            line.champions.append(number)

    def roll_back(self, why: str) -> int:
        """Let the version before the champion serve again; returns its number. Raises as above."""
        with self.change() as line:
            if len(line.champions) < 2:
                raise ConfigError(f"{self.name}: there is no earlier champion to go back to")
            number = line.champions[-2]
            self.model_of(line.version(number))
            line.note("rolled back", number, why)
            line.champions.pop()
            return number

    def model_of(self, version: Version) -> Path:
        """The folder of a version's model, every file checked. Raises ConfigError or
        WorkspaceError."""
        if version.model is None:
            raise ConfigError(
                f"{self.name}: the model of version {version.number} was pruned; choose a newer "
                "one (retrain.keep says how many are kept)"
            )
        artifact = Store(self.workspace).find(*version.model)
        if artifact is None:
            folder = Store(self.workspace).folder(*version.model)
            raise WorkspaceError(
                f"{folder}: the model of {self.name}, version {version.number}, is gone; "
                f"`vesselforge models promote {self.name} NUMBER` lets another one serve"
            )
        return artifact.path


def lines(workspace: Path) -> list[Line]:
    """Every line of the workspace."""
    return [Registry(workspace, name).read() for name in named_lines(workspace)]


def known_registry(workspace: Path, given: str) -> Registry:
    """The registry of a line that there is, by its name or its folder. Raises ConfigError."""
    if (Path(given) / REGISTRY).is_file():
        return registry_in(Path(given))
    if given not in (names := named_lines(workspace)):
        raise ConfigError(no_such("line of models", given, {f"lines in {workspace}": names}))
    return Registry(workspace, given)


def registry_in(folder: Path) -> Registry:
    """The registry in `<workspace>/models/<name>`."""
    return Registry(folder.absolute().parent.parent, folder.absolute().name)


def champion_folder(folder: Path) -> Path:
    """The champion's model, of `<workspace>/models/<name>`. Raises ConfigError, WorkspaceError."""
    registry = registry_in(folder)
    champion = registry.read().champion
    if champion is None:
        raise ConfigError(f"{folder}: no champion yet; `vesselforge retrain` trains the first")
    return registry.model_of(champion)
