"""The study's answer in one to three sentences, made from its numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from vesselforge.configs.catalogue import TITLES
from vesselforge.configs.study import Order
from vesselforge.pipeline.score_rows import COLUMNS
from vesselforge.pipeline.study.schema import Arm, Effect, Place

METRICS = COLUMNS | {
    "precision": "precision",
    "cldice": "clDice",
    "f1_best": "F1 at the best threshold",
    "se_thin": "SE of vessels up to 3 px",
}
ORDERS: dict[Order, str] = {
    "synthetic-first": "before",
    "real-first": "after",
    "mixed": "mixed with",
}
AUGMENTED = {
    "off": " (no image augmented)",
    "real": " (only real images augmented)",
    "synthetic": " (only synthetic images augmented)",
    "both": "",
}

Row = tuple[Arm, Effect]


def headline(arms: Sequence[Arm], primary: Place, metric: str, power: float) -> str:
    """What the study shows on its primary place. power: that of `Effect.detectable`.

    A gain is named by the significant arm with the largest mean, harm by that with the smallest;
    without either, the arm with the largest mean is named, with what would have been found.
    p values are Holm's over all tested arms, hence also valid for an arm picked this way. The mean
    and the interval of a picked arm are its own, and thus somewhat flattering.
    """
    compared = [arm for arm in arms if arm.baseline is not None]
    if not compared:
        return "Nothing was compared: no arm has synthetic images."
    rows = [(arm, e) for arm in compared for e in arm.effects if e.place == primary]
    tested = [row for row in rows if row[1].verdict != "untested"]
    where = f"{METRICS.get(metric, metric)} on {TITLES.get(primary.set, primary.set)}"
    curve = len({arm.real_images for arm in arms}) > 1
    if not tested:
        return _untested([row for row in rows if row[1].mean is not None], where, curve)
    sentences = _gain(tested, where, curve) + _harm(tested, where, curve)
    sentences = sentences or _none_shown(tested, where, curve, power)
    if left := len(compared) - len(tested):
        sentences.append(f"{left} of {len(compared)} arms could not be tested.")
    return " ".join(sentences)


def _gain(tested: Sequence[Row], where: str, curve: bool) -> list[str]:
    gains = [row for row in tested if row[1].verdict == "gain"]
    if not gains:
        return []
    arm, effect = max(gains, key=_mean)
    which = f"largest of {len(gains)} gains" if len(gains) > 1 else "the only gain"
    return [
        f"{_what(arm, curve)} raised {where} by {change(effect)} "
        f"({_evidence(effect, which, len(tested))})."
    ]


def _harm(tested: Sequence[Row], where: str, curve: bool) -> list[str]:
    harms = [row for row in tested if row[1].verdict == "harm"]
    if not harms:
        return []
    arm, effect = min(harms, key=_mean)
    gained = any(e.verdict == "gain" for _, e in tested)
    which = f"worst of {len(harms)} that did harm" if len(harms) > 1 else "the only harm"
    found = (
        f"{_what(arm, curve)} changed {where} by {change(effect)} "
        f"({_evidence(effect, which, len(tested))})."
    )
    if gained:
        return [f"But other synthetic images did harm: {found}"]
    return [f"Synthetic images did harm: {found}", *(["No arm gained."] if len(tested) > 1 else [])]


def _none_shown(tested: Sequence[Row], where: str, curve: bool, power: float) -> list[str]:
    arm, effect = max(tested, key=_mean)
    if effect.detectable is None:
        limit = f"with {effect.images} images no change could have been found"
    else:
        sure = f"{100 * power:.0f} % power"
        limit = f"a change of {effect.detectable:.4f} would have been found with {sure}"
    return [
        f"No gain shown: {_what(arm, curve)} changed {where} by {change(effect)} "
        f"({_evidence(effect, 'best', len(tested))}); {limit}."
    ]


def _untested(rows: Sequence[Row], where: str, curve: bool) -> str:
    """Why there is no test, and what was seen in these very runs."""
    if not rows:
        return (
            f"Nothing could be tested: no arm has {where} for a seed and an image that its "
            "real-only arm has too."
        )
    arm, effect = max(rows, key=_mean)
    if effect.seeds < 2:
        why = "one seed cannot tell a gain from the luck of a training run"
    else:
        why = "one test image cannot stand for others"
    best = f"best of {len(rows)} arms, " if len(rows) > 1 else ""
    size = f"{counted(effect.seeds, 'seed')}, {counted(effect.images, 'image')}"
    return (
        f"Not tested: {why}. {_what(arm, curve)} changed {where} by {signed(_mean((arm, effect)))}"
        f" in these runs ({best}{size})."
    )


def _what(arm: Arm, curve: bool) -> str:
    """Such as: 200 synthetic images before the real ones."""
    if arm.order is None:
        raise ValueError(f"arm {arm.id} has a baseline, but no order")
    real = counted(arm.real_images, "real image") if curve else "the real ones"
    images = counted(arm.count, "synthetic image")
    images = f"{arm.name}: {images}" if arm.name else images
    return f"{images} {ORDERS[arm.order]} {real}{AUGMENTED[arm.augment]}"


def _evidence(effect: Effect, which: str, arms: int) -> str:
    size = f"{counted(effect.seeds, 'seed')}, {counted(effect.images, 'image')}"
    p = p_text(effect)
    if arms == 1:
        return f"{size}; {p}"
    link = "of" if which == "best" else "among"
    return f"{which} {link} {arms} arms, {size}; {p} after Holm over all {arms}"


def p_text(effect: Effect) -> str:
    """The p that the verdict goes by."""
    if effect.p is None:
        raise ValueError("an effect with a verdict has a p value")
    return "p < 0.001" if effect.p < 0.001 else f"p = {effect.p:.2g}"


def change(effect: Effect) -> str:
    """`+0.0120 [+0.0080, +0.0160]`."""
    if effect.mean is None or effect.low is None or effect.high is None:
        raise ValueError("an effect with a verdict has a mean and an interval")
    return f"{signed(effect.mean)} [{signed(effect.low)}, {signed(effect.high)}]"


def _mean(row: Row) -> float:
    mean = row[1].mean
    if mean is None:
        raise ValueError(f"arm {row[0].id} has no mean difference")
    return mean


def signed(value: float) -> str:
    """A difference: its sign is always written."""
    return f"{round(value, 4) + 0.0:+.4f}".replace("-", "−")


def counted(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
