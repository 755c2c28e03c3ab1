"""`vesselforge finetune`: a trained model, fitted to one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselforge.cli.names import DATASET, ModelArgument, SetOption, dataset_names
from vesselforge.cli.verbs import (
    WORKSPACE,
    DryRunOption,
    JsonOption,
    PatternOption,
    ServerOption,
    WorkspaceOption,
    as_table,
    new_display,
    print_preview,
    print_result,
)


def finetune(
    model: ModelArgument,
    images: Annotated[
        str, typer.Argument(metavar="FOLDER", help=DATASET, autocompletion=dataset_names)
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Of the run and the model.", show_default="FOLDER-finetuned"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Optimiser steps of each training.", show_default="as configs/finetune.yaml"
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Of the cross-validation; 1: a test split instead.",
            show_default="5, or as many as there are images or groups",
        ),
    ] = None,
    pattern: PatternOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression with one group: images with the same text there, such as both "
            "eyes of a patient, stay together: data.group."
        ),
    ] = None,
    set_: SetOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    server: ServerOption = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Fit a trained model to your images, and learn how good it is.

    Cross-validates: trains from MODEL's weights without a fifth of the images, scores these,
    before and after, and so on. Then trains the model for use on all images but a few that choose
    its threshold. It lies in workspace/models/NAME with a card that says all this, and its name
    serves wherever a MODEL is taken. The same command goes on where it stopped. The settings:
    configs/finetune.yaml.
    """
    from vesselforge.pipeline.run.finetuning import finetune_config

    given = {"name": name, "teacher.steps": steps, "data.pattern": pattern, "data.group": group}
    settings = finetune_config(model, images, workspace, given, folds, set_ or [])
    from vesselforge.pipeline.input_checks import check_inputs

    odd = check_inputs(settings, workspace)
    if dry_run:
        from vesselforge.pipeline.run.folds import everything

        print_preview(everything(settings, workspace), odd, workspace, json_)
        return
    from vesselforge.flows.launch import RUN, launch

    made = launch(RUN, settings, workspace, new_display(), server)
    from vesselforge.pipeline.models.publish_finetuned import cards, publish_finetuned, score_lines

    folder = publish_finetuned(Path(made["run"]), workspace)
    card = cards(workspace)[settings.name]
    rows, about = score_lines(card)
    told = [as_table(rows, about), card["honest"], f"report: {made['report']}"]
    use = f"model: {folder}; `vesselforge predict {settings.name} eye.png -o maps`"
    print_result(json_, made | {"model": str(folder), "card": card}, *told, use)
