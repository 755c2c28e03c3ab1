"""Arguments that are names: what there is to choose from is in their help, and completed by shells.

Nothing heavy is imported, and no file is read but cards of what comes along and headers of configs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

import typer

from vesselforge import pretrained
from vesselforge.configs.catalogue import KNOWN_NAMES, NAMED
from vesselforge.configs.load import shipped
from vesselforge.pipeline.places import named_models, named_runs, workspace_folder


def every_config() -> list[str]:
    """Completes the names of all shipped configs, and of the two kinds."""
    return ["run", "study", *shipped(study=False), *shipped(study=True)]


def run_names(ctx: typer.Context) -> list[str]:
    """Completes runs of the workspace."""
    return named_runs(_workspace(ctx))


def model_names(ctx: typer.Context) -> list[str]:
    """Completes segmenters that come along, and models and runs of the workspace."""
    place = _workspace(ctx)
    return [*pretrained.names("segmenter"), *named_models(place), *named_runs(place)]


def generator_names(ctx: typer.Context) -> list[str]:
    """Completes generators that come along, and runs of the workspace."""
    return [*pretrained.names("generator"), *named_runs(_workspace(ctx))]


def any_names(ctx: typer.Context) -> Iterator[str]:
    """Completes whatever `models list` shows."""
    yield from pretrained.names("generator")
    yield from model_names(ctx)


def line_names(ctx: typer.Context) -> list[str]:
    """Completes models of the workspace."""
    return named_models(_workspace(ctx))


def dataset_names() -> list[str]:
    """Completes datasets; a folder is completed by the shell."""
    return [*NAMED]


def setting_names(model: str, group: str = "") -> Callable[[], list[tuple[str, str]]]:
    """Completes settings, with what they mean. model: where they are, `module:class`. group: those
    inside it, `data.`, without its name."""

    def names() -> list[tuple[str, str]]:
        from vesselforge.configs.explained import ANY, GROUP, every_setting

        found = every_setting(resolve_name(f"vesselforge.configs.{model}"))
        single = (each for each in found if each.type != GROUP and ANY not in each.path.split("."))
        said = {each.path: each.meaning for each in single if each.path.startswith(group)}
        return [(path.removeprefix(group), meaning) for path, meaning in said.items()]

    return names


def explained_names(ctx: typer.Context) -> list[str]:
    """Completes groups and settings of the kind of config that was typed before."""
    from vesselforge.configs.explained import every_setting

    of_study = ctx.params.get("config") in ("study", *shipped(study=True))
    model = "study:StudyConfig" if of_study else "settings:PipelineConfig"
    return [each.path for each in every_setting(resolve_name(f"vesselforge.configs.{model}"))]


def _workspace(ctx: typer.Context) -> Path:
    """The one that was typed before, or that would be used."""
    return workspace_folder(ctx.params.get("workspace"))


def _choice(what: str, names: list[str], more: str) -> str:
    """`A model: sa-unet-drive, …, a model or run in the workspace by its name, or a folder.`"""
    return f"{what}: {', '.join([*names, more])}, or a folder."


def _config(study: bool) -> Any:
    """The argument CONFIG of a run or of a study."""
    return typer.Argument(
        metavar="CONFIG",
        help=f"YAML file, or a shipped one by name: {', '.join(shipped(study))}.",
        autocompletion=lambda: shipped(study),
    )


def _set_option(model: str) -> Any:
    """The option --set of a run or of a study."""
    return typer.Option(
        "--set",
        metavar="a.b=value",
        help="Change one setting; may be repeated.",
        autocompletion=setting_names(model),
    )


RUN = "A run: its name in the workspace, or its folder."
ConfigArgument = Annotated[str, _config(study=False)]
StudyArgument = Annotated[str, _config(study=True)]
SetOption = Annotated[list[str] | None, _set_option("settings:PipelineConfig")]
StudySetOption = Annotated[list[str] | None, _set_option("study:StudyConfig")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=RUN, autocompletion=run_names)]
RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN", help=f"{RUN} Two or more.", autocompletion=run_names)
]
ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help=_choice(
            "A model",
            pretrained.names("segmenter"),
            "a model or run in the workspace by its name",
        ),
        autocompletion=model_names,
    ),
]
GeneratorArgument = Annotated[
    str,
    typer.Argument(
        metavar="GENERATOR",
        help=_choice(
            "A generator", pretrained.names("generator"), "a run in the workspace by its name"
        ),
        autocompletion=generator_names,
    ),
]
DATASET = f"Dataset by name ({KNOWN_NAMES}), or a folder of images and masks."
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help=DATASET, autocompletion=dataset_names)
]
