"""The study's answer, made from its numbers alone: a sentence for each endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vesselforge.configs.catalogue import TITLES
from vesselforge.pipeline.models.score_rows import COLUMNS
from vesselforge.pipeline.study.schema import Arm, Effect, Endpoint, Results

METRICS = COLUMNS | {
    "precision": "precision",
    "cldice": "clDice",
    "f1_best": "F1 at the best threshold",
    "se_thin": "SE of vessels up to 3 px",
}
VERDICTS = {"gain": "Gain shown", "harm": "Harm shown", "none shown": "No gain shown"}
LISTED = 8
"""Untested arms that are named; of more the number is said."""

Row = tuple[Arm, Effect]


def answer(results: Results) -> str:
    """In words. Of a study that declared nothing, the arms that tell most: the largest gain and the
    worst harm, else the best mean.

    p values are Holm's over all tested arms, hence also valid for an arm picked this way. The mean
    and the interval of a picked arm are its own, and thus somewhat flattering.
    """
    deciding = [arm for arm in results.arms if arm.id in results.primary_arms]
    if not deciding:
        which = "primary arm is in the study" if results.declared else "arm has synthetic images"
        return f"Nothing was compared: no {which}."
    sentences = [_of_endpoint(results, deciding, endpoint) for endpoint in results.endpoints]
    tested = sum(e.p_primary is not None for arm in deciding for e in arm.effects)
    last = f"{METRICS[results.metric]} per image"
    if tested:
        last += f"; p after Holm over {plural(tested, 'comparison')}, detectable with "
        last += f"{100 * results.power:.0f} % power"
    elif len(results.seeds) == 1:
        last += "; one seed cannot tell a gain from the luck of a training run"
    return " ".join([*sentences, f"{last}."])


def _of_endpoint(results: Results, deciding: Sequence[Arm], endpoint: Endpoint) -> str:
    """What the primary arms did there, against which real-only arm."""
    rows = [(a, e) for a in deciding for e in a.effects if e.place == endpoint.place]
    tested = [row for row in rows if row[1].verdict != "untested"]
    tested.sort(key=lambda row: ([*VERDICTS].index(row[1].verdict), -(row[1].mean or 0.0)))
    shown = tested if results.declared else _telling(tested)
    labels = {arm.id: arm.label for arm in results.arms}
    several = len({arm.real_images for arm in results.arms}) > 1
    groups: dict[str, list[str]] = {}
    for arm, effect in shown:
        control = f"against “{labels.get(effect.against, effect.against)}”"
        control += f" with {plural(arm.real_images, 'real image')}" if several else ""
        alone = len(shown) == 1 and not results.declared  # the first words say its verdict
        verdict = "" if alone else f"{effect.verdict} of "
        groups.setdefault(control, []).append(verdict + _clause(arm, effect))
    parts = [f"{control}: {'; '.join(clauses)}" for control, clauses in groups.items()]
    if len(shown) < len(tested):
        parts.append(f"picked from {len(tested)} arms")
    there = {arm.id for arm, _ in tested}
    if left := [arm.short for arm in deciding if arm.id not in there]:
        names = ", ".join(left) if len(left) <= LISTED else f"{len(left)} arms"
        parts.append(f"not tested: {names}")
    first = f"{VERDICTS[shown[0][1].verdict]}: " if shown and not results.declared else ""
    name = TITLES.get(endpoint.name, endpoint.name)
    return f"{first}{name}{_size(shown)}, {'; '.join(parts)}."


def _telling(tested: Sequence[Row]) -> list[Row]:
    """tested: gains before harms, and each from the largest mean to the smallest."""
    gains, harms = ([r for r in tested if r[1].verdict == word] for word in ("gain", "harm"))
    return [*gains[:1], *harms[-1:]] or list(tested[:1])


def _clause(arm: Arm, effect: Effect) -> str:
    """What one arm did; beside every null, what would have been found."""
    interval = f"[{signed(effect.low)}, {signed(effect.high)}]"
    p = f"p = {effect.p:.2g}" if effect.p and effect.p >= 0.001 else "p < 0.001"
    text = f"{arm.short}, {signed(effect.mean)} {interval}, {p}"
    if effect.verdict != "none shown":
        return text
    if effect.detectable is None:
        return f"{text}, with {plural(effect.images, 'image')} nothing could be found"
    return f"{text}, detectable {effect.detectable:.4f}"


def _size(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    seeds, images = ([getattr(e, name) for _, e in rows] for name in ("seeds", "images"))
    return f" ({_range(seeds, 'seed')}, {_range(images, 'image')})"


def _range(counts: Iterable[int], noun: str) -> str:
    low, high = min(found := list(counts)), max(found)
    return plural(high, noun) if low == high else f"{low} to {plural(high, noun)}"


def signed(value: float | None) -> str:
    """A difference: its sign is always written."""
    return "–" if value is None else f"{round(value, 4) + 0.0:+.4f}".replace("-", "−")


def plural(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
