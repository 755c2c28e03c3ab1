"""`vesselforge generator …`: StyleGAN2-ADA alone, sharing the pipeline's artifacts."""

from __future__ import annotations

from vesselforge.cli.draw_verbs import draw, walk
from vesselforge.cli.exchange_verbs import export, import_, models, publish
from vesselforge.cli.verbs import add_step, new_app

app = new_app("StyleGAN2-ADA alone: train, sample, score. Shares its artifacts with `run`.")
add_step(app, "train", "generator", "Train the generator of a config.")
add_step(
    app,
    "sample",
    "samples",
    "Draw the synthetic images of a config; trains the generator first if need be.",
)
add_step(
    app,
    "score",
    "scores",
    """FID, KID, precision, recall, density, coverage and copies of a config's samples.

    Does what comes before if need be. --set score.features=random or inception needs no teacher.
    """,
)
app.command()(draw)
app.command()(walk)
app.command("import")(import_)
app.command()(export)
app.command()(models)
app.command()(publish)
