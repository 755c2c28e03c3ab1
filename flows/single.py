"""Single steps without Prefect: the same stages, settings and artifacts as the pipeline's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

from pydantic import BaseModel

from configs.settings import PipelineConfig
from data.prepare import content_hash
from data.store import Artifact, Inputs
from flows.checks import check_inputs
from flows.display import Display, shown
from flows.stages import produce
from flows.steps import Steps
from flows.stopping import timed

LAST_STEPS = ("development", "teacher", "generator", "samples", "scores", "pseudo-labels")


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS (of the first round), and all that it needs."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        dataset = cache(partial(content_hash, config.data))
        here = partial(_here, workspace, display, timeout=config.stage_timeout)
        return _reach(last, Steps(config, here, dataset))


def _reach(last: str, steps: Steps) -> Artifact:
    development = steps.development()
    if last == "development":
        return development
    if last == "teacher":
        return steps.teacher(development)
    if last == "generator":
        return steps.generator(development)
    generator = steps.generator(development)
    samples = steps.sample(generator)
    if last == "samples":
        return samples
    if last == "scores":
        teacher = steps.teacher(development) if steps.config.score.needs_teacher else None
        return steps.score(samples, development, generator, teacher)
    assert last == "pseudo-labels", last
    teacher, score = steps.teacher(development), None
    if steps.config.pseudo_label.needs_scores:
        score = steps.score(samples, development, generator, teacher)
    return steps.pseudo_label(samples, teacher, development, score)


def _here(
    workspace: Path,
    display: Display,
    step: str,
    kind: str,
    settings: BaseModel,
    inputs: Inputs,
    outside: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Artifact:
    """`flows.steps.Produce` in this process."""
    with display.telling(step), timed(display.begin(step), timeout, step) as progress:
        outcome = produce(workspace, kind, settings, inputs, progress, outside, step=step)
    display.end(step, outcome)
    return outcome.artifact
