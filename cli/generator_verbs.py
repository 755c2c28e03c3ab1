"""`vesselforge generator …`: StyleGAN2-ADA alone, sharing the pipeline's artifacts."""

from __future__ import annotations

from vesselforge.cli.draw_verbs import draw, walk
from vesselforge.cli.exchange_verbs import export, import_, models, publish
from vesselforge.cli.verbs import (
    ConfigArgument,
    JsonOption,
    SetOption,
    WorkspaceOption,
    new_app,
    run_step,
    verb,
)

app = new_app("StyleGAN2-ADA alone: train, sample, score. Shares its artifacts with `run`.")


@app.command()
@verb
def train(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    json_: JsonOption = False,
) -> None:
    """Train the generator of a config."""
    run_step("generator", config, set_, workspace, json_)


@app.command()
@verb
def sample(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    json_: JsonOption = False,
) -> None:
    """Draw the synthetic images of a config; trains the generator first if need be."""
    run_step("samples", config, set_, workspace, json_)


@app.command()
@verb
def score(
    config: ConfigArgument,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    json_: JsonOption = False,
) -> None:
    """FID, KID, precision, recall, density, coverage and copies of a config's samples.

    Does what comes before if need be. --set score.features=random or inception needs no teacher.
    """
    run_step("scores", config, set_, workspace, json_)


app.command()(draw)
app.command()(walk)
app.command("import")(import_)
app.command()(export)
app.command()(models)
app.command()(publish)
