"""A run of all folds: the works of each, as if it were run alone, and their scores as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vesselforge.configs.settings import PipelineConfig, PoolSettings
from vesselforge.engine.sinks.display import current
from vesselforge.engine.store import Store
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Given, Work
from vesselforge.pipeline.models.choice import FINAL, WHOLE, choose
from vesselforge.pipeline.models.seen import seen_before
from vesselforge.pipeline.preview import in_words, preview
from vesselforge.pipeline.record import RunRecord, reference
from vesselforge.pipeline.run.remarks import by_fold
from vesselforge.pipeline.run.run_works import Augmented, RunWorks, augment, known_f1, run_works
from vesselforge.pipeline.sources import Config


def fold_works(config: PipelineConfig, workspace: Path | None = None) -> list[RunWorks]:
    """The work of each fold of a cross-validation; of a run that is none, that of the run. Raises
    UserError as `run_works`."""
    folds = config.data.each_fold()
    return [run_works(config.model_copy(update={"data": data}), workspace) for data in folds]


def everything(config: PipelineConfig, workspace: Path | None = None) -> list[Work]:
    """All that a run of a single round does; further ones depend on it."""
    return _all_of(config, fold_works(config, workspace))


def _all_of(config: PipelineConfig, every: list[RunWorks]) -> list[Work]:
    folds = [works.everything() for works in every]
    found = [work for works in folds for work in works]
    if config.data.is_cross_validated:
        found.append(pooled(config, [works[-1] for works in folds]))
    final = every[0].final()
    return found if final is None else [*found, final]


def pooled(config: Config, evaluations: list[Work], step: str = "scores of all folds") -> Work:
    """The scores of all folds. evaluations: of each, such as `RunWorks.scored`."""
    inputs = {f"fold-{number:02d}": work for number, work in enumerate(evaluations)}
    settings = PoolSettings(bootstrap=config.evaluate.bootstrap)
    return Work(step, "segmenter.pool", settings, inputs)


def augment_all(
    config: PipelineConfig, executor: Executor, record: RunRecord, workspace: Path | None = None
) -> Augmented:
    """`augment` in every fold, one after the other; the evaluation is of all images. In the record
    the artifacts of a fold have roles of their own: `fold-0/teacher`.

    The record keeps which model serves (`chosen`), and what is to be said where the model to begin
    with has seen test images (`seen_before`). Of real images alone a final model is trained, see
    `RunWorks.final`."""
    folds = fold_works(config, workspace)
    ahead = in_words(preview(_all_of(config, folds), Store(executor.workspace)))
    more = "; further rounds come on top" if config.iterate.rounds > 1 else ""
    current().say(f"{ahead}{more}")
    for works in folds:  # what is wrong with images of any fold shows before hours of training
        executor.run([works.development(), works.test()])
    seen = seen_before(folds[0].start(), [executor.done[works.test().digest] for works in folds])
    record.note("seen_before", seen)
    if seen:
        current().say(f"  {seen}")
    made = _each_fold(config, folds, executor, record)
    choice = made.choice
    if (final := folds[0].final()) is not None:
        record.artifact(WHOLE, executor.make(final.inputs["images"]))
        model = record.artifact(FINAL, executor.make(final))
        choice = choose({FINAL: known_f1(model)})
    record.note("chosen", choice)
    remarks = made.remarks + ([seen] if seen else [])
    return replace(made, choice=choice, remarks=remarks)


def _each_fold(
    config: PipelineConfig, folds: list[RunWorks], executor: Executor, record: RunRecord
) -> Augmented:
    if not config.data.is_cross_validated:
        return augment(folds[0], executor, record)
    made: list[Augmented] = []
    for number, works in enumerate(folds):
        current().say(f"fold {number} of {len(folds)}, counted from 0")
        record.part = f"fold-{number}/"
        made.append(augment(works, executor, record))
    record.part = ""
    scores = executor.make(pooled(config, [Given(*reference(each.evaluation)) for each in made]))
    said = by_fold({str(number): each.remarks for number, each in enumerate(made)})
    failures = by_fold({str(n): [each.failure] for n, each in enumerate(made) if each.failure})
    return Augmented(record.artifact("evaluation", scores), None, said, "; ".join(failures))
