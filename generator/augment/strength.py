"""How strong the augmentation is: the controller of p (ADA paper, section 3.2), and its warning."""

from __future__ import annotations

from vesselforge.configs.stages.generator import GeneratorSettings

LEAKY = 0.8
"""From this p on augmentations show in samples: images are seldom seen as they are. The ceiling of
adaptive augmentation."""


def adjust_p(
    p: float,
    r_t: float,
    target: float = 0.6,
    images: float = 32,
    ada_kimg: float = 500,
    p_max: float = LEAKY,
) -> float:
    """Return the next p after `images` real images with mean sign(D(real)) = `r_t`.

    r_t above the target means that the discriminator has begun to know its images by heart.
    Uncapped, p ends above 1 on small sets and the augmentations show in the samples.
    """
    direction = int(r_t > target) - int(r_t < target)
    return min(max(p + direction * images / (ada_kimg * 1000), 0.0), p_max)


def strong_augmentation(
    settings: GeneratorSettings, r1_gamma: float, p: float, r_t: float, step: int
) -> str:
    """Return what a user should know when p has become high, and what helps."""
    fixed = settings.augment == "fixed"
    why = (
        "as set (generator.augment: fixed)"
        if fixed
        else f"because the discriminator knows its real images too well (r_t {r_t:.2f}, target "
        f"{settings.ada_target:g})"
    )
    return (
        f"generator: at step {step} the augmentation probability p is {p:.2f}, {why}. Above about "
        f"{LEAKY:g} augmentations begin to show in the samples: turned, mirrored or tinted "
        "images. What helps: more training images, generator.start_from a trained network with "
        "generator.freeze_d (10, say), fewer kimg, or another generator.r1_gamma (now "
        f"{r1_gamma:g}; try a quarter of it up to four times). Colours that your images must not "
        "take: augment_pipe: bg; mirror images: mirror: false"
    )
