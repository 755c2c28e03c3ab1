"""What is said of a training that failed, and what helps."""

from __future__ import annotations

from vesselforge.configs.settings import GeneratorSettings

NOT_FINITE = "the loss is no longer a finite number"
EXPLODED = "the discriminator's scores have exploded"


def advice_on(settings: GeneratorSettings, gamma: float) -> str:
    """Return what keeps a training from diverging. gamma: R1's weight in it."""
    augment = "" if settings.augment == "ada" else f" (now {settings.augment})"
    return (
        f"lower generator.lr (now {settings.lr:g}), raise generator.r1_gamma (now {gamma:g}; 2 to "
        f"10 times is usual) or generator.batch (now {settings.batch}), use generator.augment: "
        f"ada{augment}, start from a trained network with generator.freeze_d (10, say), or "
        "train on more images"
    )


def ended_early(step: int, steps: int, why: str, chosen: int, advice: str) -> str:
    """Return what is said of a training that diverged at a step after a snapshot."""
    return (
        f"generator: at step {step} of {steps} {why}; it ends here, with its best snapshot, "
        f"of step {chosen}. For a longer training {advice}"
    )


def out_of_memory(settings: GeneratorSettings, error: Exception) -> str:
    """Return what helps where memory is too small."""
    return (
        f"generator: out of memory ({str(error).strip().splitlines()[0][:160]}); lower "
        f"generator.batch (now {settings.batch}) or generator.channel_base (now "
        f"{settings.channel_base}), or set generator.precision: bfloat16"
    )
