"""The Prefect flow of scheduled retraining: look, train, compare, promote or hold back.

The decision looks at validation images alone. The test images of the pipeline's own evaluation
are scored for the report and decide nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.states import Completed

from vesselforge.configs.errors import ConfigError, WorkspaceError
from vesselforge.configs.settings import CompareSettings, PipelineConfig
from vesselforge.configs.stages.images import SplitName
from vesselforge.data.datasets import load_settings
from vesselforge.data.imageset import read_index
from vesselforge.data.layouts.intake import Intake, sort_out
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.data.prepare import content_hash
from vesselforge.engine.artifacts import identity_of
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import clock
from vesselforge.engine.sinks.display import current
from vesselforge.engine.store import Store
from vesselforge.flows import notes
from vesselforge.flows.run import run_pipeline, stated
from vesselforge.flows.states import HELD_BACK, NOTHING, PROMOTED
from vesselforge.flows.tasks import ByTask
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Given, Reference, Work
from vesselforge.pipeline.models.choice import WHOLE, chosen
from vesselforge.pipeline.models.contest import judge
from vesselforge.pipeline.models.registry import Comparison, Registry, Verdict, Version
from vesselforge.pipeline.models.retention import named_by, prune
from vesselforge.pipeline.models.score_rows import version_rows
from vesselforge.pipeline.record import read_run
from vesselforge.pipeline.setting_checks import check_images, check_run_settings, check_start
from vesselforge.pipeline.works import begun_by

NAME = "retrain"
STATES = {"first": PROMOTED, "promoted": PROMOTED, "held back": HELD_BACK}
QUARANTINE = "quarantine.json"


@flow(name=NAME, flow_run_name="retrain {config.name}", persist_result=False)
def retrain(
    config: PipelineConfig, overrides: list[str] | None = None, workspace: str | None = None
) -> Any:
    """Train again when the images have changed; promote the new model unless it is worse.

    Args:
        config: The pipeline to run; `retrain` in it says when a new model is promoted and how many
            are kept. Whoever gives another config replaces the whole of it.
        overrides: Changes to single settings, such as `retrain.margin=0.02`.
        workspace: Folder of artifacts and runs; default $VESSELFORGE_WORKSPACE or ./workspace.
    """

    return stated(run_retraining, config, overrides, workspace)


def run_retraining(config: PipelineConfig, workspace: Path) -> Any:
    """The body of the flow. Returns its state: a name, a sentence, what there is to look at."""
    if config.data.folds is not None:
        raise ConfigError(
            f"data.folds: {config.data.folds}: a line of models has one split, and new images join "
            "it; unset data.folds (`vesselforge run` cross-validates)"
        )
    check_run_settings(config)
    check_start(config.generator)
    check_images(config, load_settings(config.data, lenient=True))
    Store(workspace).open()
    registry = Registry(workspace, config.name)
    with registry.alone(current().begin(NAME)):
        found = _retrain(config, workspace, registry)
    return Completed(name=found["state"], message=found["message"], data=found)


def _retrain(config: PipelineConfig, workspace: Path, registry: Registry) -> dict[str, Any]:
    line = registry.read()
    if line.champion is not None:
        registry.model_of(line.champion)  # a champion that is gone shows before hours of training
    config = with_splits(config, line.splits)
    basis = look(config, workspace)
    if basis == line.decided:
        message = f"no new images or settings since version {line.versions[-1].number}"
        current().say(f"nothing to do: {message}")
        return {"state": NOTHING, "message": message, "champion": line.champions[-1]}
    intake = inspect(config, registry)
    challenger = train_challenger(config, workspace, line.next_number, intake)
    comparison = None
    if line.champion is not None:
        comparison = contest(config, workspace, line.champion, challenger)
    return settle(config, registry, challenger, comparison, basis, intake.splits)


def with_splits(config: PipelineConfig, splits: Mapping[str, str]) -> PipelineConfig:
    """The config of a folder of one's own, where the images that are known keep their splits."""
    if config.data.name != "paired":
        return config
    known = {**config.data.known_splits, **splits}
    data = config.data.model_copy(update={"known_splits": known})
    return config.model_copy(update={"data": data})


def look(config: PipelineConfig, workspace: Path) -> str:
    """Hash of the dataset's files, of the models to begin with, and of the settings that shape
    results: nothing is decoded."""
    settings = {**identity_of(config), "name": None, "retrain": None}
    begun = {setting: work.digest for setting, work in begun_by(config, workspace).items()}
    basis = [content_hash(config.data, lenient=True), settings, *([begun] if begun else [])]
    text = json.dumps(basis, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def inspect(config: PipelineConfig, registry: Registry) -> Intake:
    """The sound images; the bad ones go into quarantine.json, their files stay where they are."""
    display = current()
    step = "images, one by one"
    intake = sort_out(config.data, display.begin(step))
    display.drop(step)
    registry.folder.mkdir(parents=True, exist_ok=True)
    write_json(registry.folder / QUARANTINE, intake.quarantined)
    for id_, reason in intake.quarantined.items():
        display.say(f"  quarantined {id_}: {reason}")
    rows = [{"identifier": id_, "reason": why} for id_, why in intake.quarantined.items()]
    notes.publish_table(f"{config.name}-quarantine", rows, "images that were left out")
    return intake


def train_challenger(
    config: PipelineConfig, workspace: Path, number: int, intake: Intake
) -> Version:
    """The whole pipeline on the sound images, as a run of its own: `<name>-v<number>`."""
    left_out = sorted({*config.data.exclude, *intake.quarantined})
    config = with_splits(config, intake.splits)  # what is left out moves no other image
    data = config.data.model_copy(update={"exclude": left_out})
    name = f"{config.name}-v{number}"
    run_pipeline(config.model_copy(update={"name": name, "data": data}), workspace)
    _, record = read_run(workspace, name)
    store, artifacts, serves = Store(workspace), record["artifacts"], chosen(record)
    development = store.read(*images_of(artifacts))
    return Version(
        number=number,
        made=clock(),
        run=name,
        model=artifacts[serves],
        artifacts=[list(named) for named in dict.fromkeys(named_by(record))],
        trained_on=sorted(r.id for r in read_index(development.path, TRAIN)),
        images=intake.images,
        quarantined=len(intake.quarantined),
        f1=record["chosen"]["validation_f1"][serves],
        verdict="held back",
    )


def contest(config: PipelineConfig, workspace: Path, champion: Version, new: Version) -> Comparison:
    """Both models on today's validation images, without those that the champion was trained on."""
    _, record = read_run(workspace, new.run)
    images = Given(*images_of(record["artifacts"]))
    folder = Store(workspace).folder(images.kind, images.digest)
    known = {r.id for r in read_index(folder, VALIDATION)} & set(champion.trained_on)
    settings = CompareSettings(leave_out=sorted(known), runtime=config.evaluate.runtime)
    models = {"champion": champion.model, "challenger": new.model}
    pair = {role: Given(*model) for role, model in models.items() if model is not None}
    step = "champion against challenger"
    work = Work(step, "segmenter.compare", settings, {"images": images, **pair})
    made = Executor(workspace, ByTask(workspace, config.stage_timeout)).make(work)
    new.artifacts.append([made.kind, made.digest])
    scores = made.metrics["per_image"].values()
    pairs = ([s["champion"] for s in scores], [s["challenger"] for s in scores])
    return judge(champion.number, *pairs, config.retrain.margin)


def images_of(artifacts: dict[str, Reference]) -> Reference:
    """The image set that the model which serves was trained on, with its validation images."""
    return artifacts.get(WHOLE, artifacts["development"])


def settle(
    config: PipelineConfig,
    registry: Registry,
    new: Version,
    comparison: Comparison | None,
    basis: str,
    splits: Mapping[str, str],
) -> dict[str, Any]:
    """Write the decision, all of it at once, and let go of what old versions needed."""
    why = comparison.why if comparison else "the first model of this line"
    verdict: Verdict = "first"
    if comparison:
        verdict = "promoted" if comparison.promoted else "held back"
    with registry.change() as line:
        new.verdict, new.comparison = verdict, comparison
        line.versions.append(new)
        line.decided = basis
        line.splits |= {id_: cast(SplitName, split) for id_, split in splits.items()}
        if verdict == "held back":
            line.note("held back", line.champions[-1], why)
        else:
            line.note("promoted", new.number, why)
            line.champions.append(new.number)
    gone = 0
    try:
        with registry.change() as line:
            gone = prune(registry.workspace, line, config.retrain.keep)
    except WorkspaceError as error:  # the decision stands
        current().say(f"old versions were not tidied up: {error}")
    rows = version_rows(line)[-config.retrain.keep :]
    notes.publish_table(f"{config.name}-models", rows, f"models of {config.name}")
    message = f"version {new.number}: {verdict}; {why}"
    current().say(message)
    return {
        "state": STATES[verdict],
        "message": message,
        "version": new.number,
        "champion": line.champions[-1],
        "pruned": gone,
        "run": str(registry.workspace / "runs" / new.run),
    }
