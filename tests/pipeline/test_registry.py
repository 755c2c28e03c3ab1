"""Versions of models: promoted, rolled back, pruned; and what is never lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.sinks.board import board_folder
from vesselforge.engine.sinks.stagelog import log_file
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.registry import Line, Registry, Version, known_registry
from vesselforge.pipeline.models.retention import prune
from vesselforge.pipeline.record import RECORD, model_folder, run_folder


def artifact(workspace: Path, digest: str, kind: str = "segmenter.ensemble") -> list[str]:
    folder = workspace / "store" / kind / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ensemble.json").write_text(digest)
    files = {"ensemble.json": file_sha256(folder / "ensemble.json")}
    content = {"kind": kind, "digest": digest, "metrics": {}, "files": files}
    content |= {"settings": {}, "inputs": {}}
    write_json(folder / MANIFEST, content)
    for log in (log_file(workspace, kind, digest), board_folder(workspace, kind, digest) / "x"):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("{}")
    return [kind, digest]


def version(workspace: Path, number: int, shared: list[list[str]]) -> Version:
    """A version with a run of its own, a model of its own, and what it shares with others."""
    model = artifact(workspace, f"model-{number}")
    own = [model, artifact(workspace, f"samples-{number}", "generator.sample"), *shared]
    folder = run_folder(workspace, f"eyes-v{number}")
    folder.mkdir(parents=True)
    steps = [{"kind": kind, "digest": digest} for kind, digest in own]
    record = {"status": "completed", "config": {}, "steps": steps, "artifacts": {}}
    write_json(folder / RECORD, record)
    return Version(
        number=number, made="2026-01-01T00:00:00Z", run=f"eyes-v{number}", model=model,
        artifacts=own, images=10, quarantined=0, f1=0.8, verdict="promoted",
    )  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Five versions, each promoted in its turn, that share one dataset."""
    registry = Registry(tmp_path, "eyes")
    data = artifact(tmp_path, "images", "data.prepare")
    with registry.change() as line:
        for number in range(1, 6):
            line.versions.append(version(tmp_path, number, [data]))
            line.note("promoted", number, "better")
            line.champions.append(number)
    return registry


def champion(registry: Registry) -> int:
    found = registry.read().champion
    assert found is not None
    return found.number


def test_promote_and_roll_back(registry: Registry, tmp_path: Path) -> None:
    assert champion(registry) == 5
    assert registry.roll_back("a reader complained") == 4
    assert registry.roll_back("worse still") == 3
    registry.promote(5, "it was fine")
    assert champion(registry) == 5
    assert registry.roll_back("no") == 3
    events = registry.read().events[-4:]
    assert [(e.what, e.version, e.was) for e in events] == [
        ("rolled back", 4, 5), ("rolled back", 3, 4), ("promoted", 5, 3), ("rolled back", 3, 5),
    ]  # fmt: skip
    assert events[0].why == "a reader complained"
    assert model_folder(tmp_path / "models" / "eyes").name == "model-3"


def test_what_cannot_be_promoted(registry: Registry) -> None:
    before = registry.read()
    with pytest.raises(ConfigError, match="no version 9; there are: 1, 2, 3, 4, 5"):
        registry.promote(9, "")
    with pytest.raises(ConfigError, match="version 5 is the champion already"):
        registry.promote(5, "")
    with pytest.raises(ConfigError, match="no earlier champion"):
        for _ in range(5):
            registry.roll_back("")
    registry.promote(5, "")
    (registry.workspace / "store/segmenter.ensemble/model-2/ensemble.json").write_text("x")
    with pytest.raises(WorkspaceError, match=r"ensemble\.json: content differs"):
        registry.promote(2, "")
    assert registry.read().versions == before.versions and champion(registry) == 5


def test_a_failure_inside_a_change_changes_nothing(registry: Registry) -> None:
    before = (registry.folder / "registry.json").read_bytes()
    with pytest.raises(ZeroDivisionError), registry.change() as line:
        line.champions.append(1)
        raise ZeroDivisionError
    assert (registry.folder / "registry.json").read_bytes() == before
    assert not list(registry.folder.glob("*.tmp"))


def test_changes_at_once_are_made_one_after_the_other(registry: Registry) -> None:
    def promote() -> None:
        for number in (1, 2):
            with registry.change() as line:
                line.champions.append(number)

    threads = [threading.Thread(target=promote) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.read().champions) == 5 + 8


def test_a_damaged_registry_is_named(registry: Registry) -> None:
    file = registry.folder / "registry.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"champions": ["first"]}))
    with pytest.raises(WorkspaceError, match=r"registry\.json: champions\.0: .*begin a new line"):
        registry.read()
    file.write_text("{")
    with pytest.raises(WorkspaceError, match="expected a registry of models"):
        known_registry(registry.workspace, "eyes").read()


def test_pruning_keeps_what_serves_and_what_others_need(registry: Registry, tmp_path: Path) -> None:
    registry.promote(1, "")  # serves; before it, 5 did
    borrowed = ["generator.sample", "samples-3"]
    folder = run_folder(tmp_path, "somebody-elses")
    folder.mkdir()
    steps = [dict(zip(("kind", "digest"), borrowed, strict=True))]
    record = {"status": "completed", "config": {}, "steps": steps, "artifacts": {}}
    write_json(folder / RECORD, record)
    with registry.change() as line:
        gone = prune(tmp_path, line, keep=2)
    assert gone == 3  # models 2 and 3, samples 2
    left = {path.name for path in (tmp_path / "store").glob("*/*")}
    assert left == {
        "images", "model-1", "model-4", "model-5",
        "samples-1", "samples-3", "samples-4", "samples-5",
    }  # fmt: skip
    assert {path.stem for path in (tmp_path / "logs").glob("*/*")} == left
    assert {path.name for path in (tmp_path / "tensorboard").glob("*/*")} == left
    runs = {path.name for path in (tmp_path / "runs").iterdir()}
    assert runs == {"eyes-v1", "eyes-v4", "eyes-v5", "somebody-elses"}
    pruned = registry.read().version(2)
    assert pruned.model is None and pruned.f1 == 0.8
    with pytest.raises(ConfigError, match="version 2 was pruned"):
        registry.promote(2, "")
    assert not [p for p in (tmp_path / "store" / ".locks").iterdir() if p.name[0] != "."]
    for number in (1, 4, 5):
        assert Store(tmp_path).find("segmenter.ensemble", f"model-{number}") is not None


def test_nothing_is_pruned_while_a_record_cannot_be_read(
    registry: Registry, tmp_path: Path
) -> None:
    (run_folder(tmp_path, "torn")).mkdir()
    (run_folder(tmp_path, "torn") / RECORD).write_text('{"steps": [')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorkspaceError, match="torn"), registry.change() as line:
        prune(tmp_path, line, keep=2)
    assert sorted(tmp_path.rglob("*")) == before
    assert registry.read().version(1).model is not None


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["models", *arguments])
    return result.exit_code, result.output


def test_the_commands(registry: Registry, tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path)]
    assert told("rollback", "eyes", "--why", "blurred", *where) == (
        0, "eyes: version 4 serves again\n",
    )  # fmt: skip
    assert told("promote", "eyes", "2", *where) == (0, "eyes: version 2 serves now\n")
    status, text = told("list", "eyes", *where)
    assert status == 0 and "blurred" in text and "champion" in text
    status, text = told("list", "--json", *where)
    [line] = [Line.model_validate(each) for each in json.loads(text)["lines"]]
    assert line.champions == [1, 2, 3, 4, 2]
    status, text = told("list", "noses", *where)
    assert status == 2 and "noses: no such model or run" in text and f"{tmp_path}: eyes" in text
    status, text = told("promote", "noses", "2", *where)
    assert status == 2 and "noses: no such line of models, by name or as a folder" in text
    folder = str(tmp_path / "models" / "eyes")  # its name or its folder, whatever the workspace
    assert told("promote", folder, "3", "--workspace", "x") == (
        0, "eyes: version 3 serves now\n",
    )  # fmt: skip
    assert told("list", folder)[0] == 0
    status, text = told("list", "--workspace", str(tmp_path / "empty"))
    assert status == 0 and "sa-unet-drive" in text and "nothing in " in text
